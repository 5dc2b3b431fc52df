import { timingSafeEqual } from 'node:crypto';
import swagger from '@fastify/swagger';
import fastify, {
  LogController,
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from 'fastify';
import { sha256Of } from '../util/hash.js';
import { HttpError } from './http-error.js';
import { isLoopback, type Settings } from './options.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the description says of the body. */
    requestBody?: object;
  }
}

/** How often Node looks for connections whose time is up, in ms. */
const CHECK_INTERVAL = 1000;

/** How long a client may take for the head of its request, in ms. */
const HEADERS_TIMEOUT = 10_000;

/** An HTTP server as yet without routes: with its limits of time, its log, its manner of refusing and its description. */
export async function createApp({ maxBody, timeout, log }: Settings): Promise<FastifyInstance> {
  const app = fastify({
    logger: log ? { level: log.level, stream: log.stream } : false,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: maxBody,
    requestTimeout: timeout,
    http: { connectionsCheckingInterval: CHECK_INTERVAL, headersTimeout: Math.min(HEADERS_TIMEOUT, timeout) },
    routerOptions: { maxParamLength: 200 },
    // Else a parameter that is not known would be passed over.
    ajv: { customOptions: { removeAdditional: false } },
  });
  app.setErrorHandler<FastifyError | HttpError>((error, request, reply) => {
    const refusal = refusalOf(error);
    if (refusal.statusCode >= 500) request.log.error({ err: error }, error.message);
    return refuse(reply, refusal);
  });
  app.setNotFoundHandler((request, reply) =>
    refuse(
      reply,
      new HttpError(
        404,
        'no_such_page',
        `There is no ${request.method} ${request.url} here; see /openapi.json.`,
      ),
    ),
  );
  await app.register(swagger, {
    openapi: {
      openapi: '3.0.3',
      info: {
        title: 'lastlayer',
        description: 'Tells what is on pictures.',
        version: '1',
      },
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
    },
    transform: ({ schema, url, route }) => {
      const { requestBody, open } = route.config ?? {};
      const security = open ? {} : { security: [{}, { key: [] }] };
      return { schema: { ...schema, ...security, ...(requestBody && { body: requestBody }) }, url };
    },
  });
  return app;
}

function refuse(reply: FastifyReply, { statusCode, code, message, headers }: HttpError): FastifyReply {
  return reply.code(statusCode).headers(headers).send({ error: { code, message } });
}

/** What a client is told of an error: the whole of it where it is the client's, and nothing but that there was one else. */
function refusalOf(error: FastifyError | HttpError): HttpError {
  if (error instanceof HttpError) return error;
  const status = error.statusCode ?? 500;
  if (status === 415) {
    return new HttpError(
      415,
      'not_a_picture',
      'Send a picture as the body with Content-Type: image/jpeg (or another image type, or application/octet-stream), or ' +
        'pictures as the files of a form: curl -F file=@a.jpg …',
    );
  }
  if (status >= 500) return new HttpError(status, 'failed', 'The server failed on this; its log says why.');
  return new HttpError(status, status === 413 ? 'body_too_large' : 'bad_request', error.message);
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether it is for everyone, key or no key. */
    open?: boolean;
  }
}

/** Lets those in who have the key; where there is none, on a loopback address, those who mean this machine. */
export function guard(app: FastifyInstance, { apiKey, withoutKey, host }: Settings): void {
  const digest = apiKey === undefined ? undefined : digestOf(apiKey);
  const isLocal = isLoopback(host) && !withoutKey;
  app.addHook('onRequest', (request, _reply, done) => {
    if (digest) {
      if (!request.routeOptions.config.open && !isKey(request, digest)) throw keyNeeded();
    } else if (isLocal && !isLoopback(request.hostname)) {
      // A page of the web can have its own name point here, and would then read the answers.
      throw new HttpError(
        403,
        'wrong_host',
        `This server answers to localhost, not to ${request.hostname}. Behind a proxy, start it with --api-key or --no-auth.`,
      );
    }
    done();
  });
}

function isKey({ headers }: FastifyRequest, digest: Buffer): boolean {
  const bearer = /^Bearer +(.+)$/i.exec(headers.authorization ?? '')?.[1];
  const given = bearer ?? headers['x-api-key'];
  // Digests are of one length, so that the comparison takes as long for every wrong key.
  return typeof given === 'string' && timingSafeEqual(digestOf(given), digest);
}

function keyNeeded(): HttpError {
  return new HttpError(
    401,
    'key_needed',
    'Send the API key as the header `Authorization: Bearer KEY` or `X-API-Key: KEY`.',
    { 'WWW-Authenticate': 'Bearer' },
  );
}

function digestOf(text: string): Buffer {
  return Buffer.from(sha256Of(text));
}

/**
 * Leaves it to whoever lets a request in to ask for a body that its client holds back, as curl does with large ones; who is
 * refused is so without sending it (RFC 9110, 10.1.1).
 */
export function meetExpectations(app: FastifyInstance): void {
  app.server.on('checkContinue', (request, response) => {
    app.routing(request, response);
  });
  app.addHook('onSend', async (request, reply) => {
    // Its client may send the body all the same, or the next request in its place.
    if (holdsBodyBack(request) && !request.arrival) reply.header('Connection', 'close');
  });
}

/** Whether a client sends the body only when it is asked for. */
export function holdsBodyBack({ headers }: FastifyRequest): boolean {
  return headers.expect?.toLowerCase() === '100-continue';
}

/**
 * Does what is answered to a request, as long as somebody waits for it: its signal aborts once the client is gone or the time
 * is up. (Fastify's own signal and timeout end with the request's body.)
 * @throws {HttpError} 503 as soon as the time is up, though the work may take a little longer to end
 */
export async function withDeadline<T>(
  reply: FastifyReply,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const { signal } = controller;
  const timer = setTimeout(() => {
    controller.abort(
      new HttpError(503, 'timeout', 'The answer took longer than it may.', { 'Retry-After': '1' }),
    );
  }, ms);
  reply.raw.once('close', () => {
    clearTimeout(timer);
    controller.abort(new HttpError(499, 'client_gone', 'The client did not wait for the answer.'));
  });
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason as HttpError);
    });
  });
  return Promise.race([work(signal), aborted]);
}
