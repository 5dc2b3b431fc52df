import type { FastifyInstance, FastifyRequest } from 'fastify';

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
