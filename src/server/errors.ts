import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** An error whose message the client gets to read. */
export class HttpError extends Error {
  override readonly name = 'HttpError';

  constructor(
    readonly statusCode: number,
    /** For programs, e.g. `unreadable_picture`. */
    readonly code: string,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    // Nobody reads the stack, and building it takes ten times as long as the rest of a rejection.
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = limit;
  }
}

/**
 * Answers errors as `{ error: { code, message } }`. What went wrong in the server itself goes to the log alone. Call it before
 * the routes are added.
 */
export function handleErrors(app: FastifyInstance): void {
  const routes: { path: RegExp; methods: readonly string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    const pattern = url.replace(/[.*]/g, '\\$&').replace(/:\w+/g, '[^/]+');
    routes.push({ path: new RegExp(`^${pattern}/?$`), methods: [method].flat() });
  });
  app.setErrorHandler<FastifyError | HttpError>((error, request, reply) => {
    const answer = toHttpError(error, request);
    if (answer.statusCode >= 500) request.log.error({ err: error }, error.message);
    return send(reply, answer);
  });
  app.setNotFoundHandler(({ method, url }, reply) => {
    const [path = ''] = url.split('?');
    const allowed = routes.flatMap((route) => (route.path.test(path) ? route.methods : []));
    return send(reply, allowed.length > 0 ? wrongMethod(method, path, allowed) : notFound(method, path));
  });
}

function notFound(method: string, path: string): HttpError {
  return new HttpError(404, 'not_found', `There is no ${method} ${path} here; see /openapi.json.`);
}

function wrongMethod(method: string, path: string, allowed: readonly string[]): HttpError {
  const why = method === 'OPTIONS' ? ' For pages of other origins, start the server with --cors ORIGIN.' : '';
  const methods = allowed.join(', ');
  return new HttpError(405, 'wrong_method', `${path} takes ${methods}, not ${method}.${why}`, { Allow: methods });
}

function toHttpError(error: FastifyError | HttpError, request: FastifyRequest): HttpError {
  if (error instanceof HttpError) return error;
  const status = error.statusCode ?? 500;
  if (status >= 500) return new HttpError(status, 'internal_error', 'The server failed. Its log says why.');
  if (status === 413) return new HttpError(413, 'body_too_large', error.message);
  if (status === 415) return unsupportedType(request);
  if (error.validation?.[0]) return wrongParameter(error.validation[0], error.validationContext, request);
  return new HttpError(status, 'bad_request', error.message);
}

function unsupportedType({ headers }: FastifyRequest): HttpError {
  const type = headers['content-type'];
  return new HttpError(
    415,
    'unsupported_type',
    `The body ${type ? `is ${type}` : 'has no Content-Type'}. Send a picture with Content-Type: image/jpeg (or another image ` +
      'type, or application/octet-stream), pictures as the files of a form: curl -F file=@a.jpg …, or JSON: ' +
      '{"pictures": ["BASE64", …]}.',
  );
}

type Violation = NonNullable<FastifyError['validation']>[number];

/** Says which parameter is wrong, and what it has to be. */
function wrongParameter(
  { keyword, instancePath, params, message = '' }: Violation,
  context: FastifyError['validationContext'],
  { query, params: path, routeOptions }: FastifyRequest,
): HttpError {
  const [values, schema] =
    context === 'params' ? [path, routeOptions.schema?.params] : [query, routeOptions.schema?.querystring];
  const known = (schema as { properties: Record<string, { minimum?: number; maximum?: number }> }).properties;
  if (keyword === 'additionalProperties') {
    const name = JSON.stringify(params['additionalProperty']);
    return new HttpError(
      400,
      'bad_request',
      `There is no parameter ${name}. Use one of: ${Object.keys(known).join(', ')}.`,
    );
  }
  const name = instancePath.slice(1);
  const { minimum, maximum } = known[name] ?? {};
  const must = minimum === undefined ? message : `must be a whole number from ${minimum} to ${maximum}`;
  const value = JSON.stringify((values as Record<string, unknown>)[name]);
  return new HttpError(400, 'bad_request', `The parameter ${name} is ${value}; it ${must}.`);
}

function send(reply: FastifyReply, { statusCode, code, message, headers }: HttpError): FastifyReply {
  return reply.code(statusCode).headers(headers).send({ error: { code, message } });
}
