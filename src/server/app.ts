import swagger from '@fastify/swagger';
import fastify, { LogController, type FastifyError, type FastifyInstance, type FastifyReply } from 'fastify';
import { HttpError } from './http-error.js';
import type { Settings } from './options.js';

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
