import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify';

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

/** Answers errors as `{ error: { code, message } }`. What went wrong in the server itself goes to the log alone. */
export function handleErrors(app: FastifyInstance): void {
  app.setErrorHandler<FastifyError | HttpError>((error, request, reply) => {
    const answer = toHttpError(error);
    if (answer.statusCode >= 500) request.log.error({ err: error }, error.message);
    return send(reply, answer);
  });
  app.setNotFoundHandler(({ method, url }, reply) =>
    send(reply, new HttpError(404, 'not_found', `There is no ${method} ${url} here; see /openapi.json.`)),
  );
}

function toHttpError(error: FastifyError | HttpError): HttpError {
  if (error instanceof HttpError) return error;
  const status = error.statusCode ?? 500;
  if (status >= 500) return new HttpError(status, 'internal_error', 'The server failed. Its log says why.');
  if (status === 413) return new HttpError(413, 'body_too_large', error.message);
  if (status === 415) {
    return new HttpError(
      415,
      'unsupported_type',
      'Send a picture as the body with Content-Type: image/jpeg (or another image type, or application/octet-stream), or ' +
        'pictures as the files of a form: curl -F file=@a.jpg …',
    );
  }
  return new HttpError(status, 'bad_request', error.message);
}

function send(reply: FastifyReply, { statusCode, code, message, headers }: HttpError): FastifyReply {
  return reply.code(statusCode).headers(headers).send({ error: { code, message } });
}
