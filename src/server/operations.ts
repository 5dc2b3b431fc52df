import type { FastifyInstance } from 'fastify';
import type { Metrics } from './metrics.js';
import { refusals, stateAnswer } from './schemas.js';

/** What those who run the server ask. */
export function addOperations(app: FastifyInstance, metrics: Metrics, isReady: () => boolean): void {
  const tags = ['operations'];
  app.get(
    '/healthz',
    {
      config: { open: true },
      schema: { tags, summary: 'Whether the process answers', response: { 200: stateAnswer } },
    },
    () => ({ status: 'ok' }),
  );
  app.get(
    '/readyz',
    {
      config: { open: true },
      schema: {
        tags,
        summary: 'Whether pictures are taken',
        response: { 200: stateAnswer, 503: stateAnswer },
      },
    },
    (_request, reply) => reply.code(isReady() ? 200 : 503).send({ status: isReady() ? 'ready' : 'stopping' }),
  );
  app.get(
    '/metrics',
    {
      schema: {
        ...{ tags, summary: 'Figures for Prometheus' },
        response: {
          200: { description: 'as text', content: { 'text/plain': { schema: { type: 'string' } } } },
          ...refusals(401),
        },
      },
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()),
  );
  app.get('/openapi.json', { config: { open: true }, schema: { hide: true } }, () => app.swagger());

  app.addHook('onResponse', async (request, reply) => {
    // The pattern, so that no client can make new time series.
    const route = request.routeOptions.url ?? 'none';
    const { method, url } = request;
    const { statusCode: status, elapsedTime } = reply;
    metrics.requests.observe({ route, method, status }, elapsedTime / 1000);
    const ms = Math.round(elapsedTime);
    request.log.debug({ method, url, status, ms }, `${method} ${url}: ${status} in ${ms} ms`);
  });
}
