import type { FastifyReply } from 'fastify';
import { HttpError } from './http-error.js';

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
