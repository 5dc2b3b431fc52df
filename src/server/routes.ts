import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { withDeadline } from './app.js';
import type { Heads } from './heads.js';
import { HttpError } from './http-error.js';
import type { Answer, Pipeline } from './inference.js';
import type { Limits } from './limits.js';
import type { Metrics } from './metrics.js';
import * as schemas from './schemas.js';
import { refusals, stateAnswer } from './schemas.js';
import type { SimilarPictures } from './similar.js';
import { takeUploads, uploadsOf } from './uploads.js';

interface RouteParts {
  heads: Heads;
  pipeline: Pipeline;
  limits: Limits;
  metrics: Metrics;
  similar: SimilarPictures | undefined;
  /** ms */
  timeout: number;
}

interface ClassifyRoute {
  Params: { name?: string | undefined };
  Querystring: { topK: number; similar: number };
}

/** What is asked about pictures and heads. */
export async function addRoutes(app: FastifyInstance, parts: RouteParts): Promise<void> {
  const { heads, limits, similar } = parts;
  await app.register(async (posts) => {
    await takeUploads(posts, limits);
    const classify = async (request: FastifyRequest<ClassifyRoute>, reply: FastifyReply) =>
      answer(request, reply, parts);
    const response = {
      200: schemas.classifyAnswer,
      ...schemas.refusals(400, 401, 404, 413, 415, 422, 429, 503),
    };
    const schema = { tags: ['classify'], querystring: schemas.classifyQuery, response };
    const config = { requestBody: schemas.pictureBody };
    posts.post<ClassifyRoute>(
      '/v1/classify',
      { config, schema: { ...schema, summary: 'Tell what is on pictures, by the first head' } },
      classify,
    );
    posts.post<ClassifyRoute>(
      '/v1/heads/:name/classify',
      {
        config,
        schema: { ...schema, summary: 'Tell what is on pictures, by this head', params: schemas.headParams },
      },
      classify,
    );
  });

  app.get(
    '/v1/heads',
    {
      schema: {
        tags: ['classify'],
        summary: 'The heads',
        response: { 200: schemas.headsAnswer, ...schemas.refusals(401) },
      },
    },
    () => ({
      heads: heads.list().map(({ name, id, loaded, head: { kind, labels, modelId, created } }) => ({
        name,
        id,
        kind,
        labels,
        modelId,
        created,
        loaded,
      })),
      similar: similar !== undefined,
    }),
  );

  app.get<{ Params: { id: string } }>(
    '/v1/pictures/:id/thumbnail',
    {
      schema: {
        tags: ['classify'],
        summary: 'A similar picture, made small',
        params: schemas.pictureParams,
        response: {
          200: {
            description: 'the picture',
            content: { 'image/webp': { schema: { type: 'string', format: 'binary' } } },
          },
          ...schemas.refusals(400, 401, 404),
        },
      },
    },
    async ({ params: { id } }, reply) => sendThumbnail(reply, await similar?.thumbnail(id)),
  );
}

async function answer(
  request: FastifyRequest<ClassifyRoute>,
  reply: FastifyReply,
  { heads, pipeline, metrics, similar, timeout }: RouteParts,
) {
  const head = heads.get(request.params.name);
  if (request.query.similar > 0 && !similar) {
    throw new HttpError(
      400,
      'no_store',
      'There are no similar pictures here; the server was started without a store.',
    );
  }
  const uploads = await uploadsOf(request);
  const results = await withDeadline(reply, timeout, (signal) =>
    pipeline.classify(uploads, { head, ...request.query, signal }),
  );
  for (const result of results) metrics.pictures.inc({ head: head.name, outcome: outcomeOf(result) });
  const [only, second] = results;
  if (only && 'error' in only && !second) throw new HttpError(422, only.error.code, only.error.message);
  return { head: { name: head.name, id: head.id }, results };
}

function outcomeOf(answer: Answer): string {
  if ('error' in answer) return 'unreadable';
  return answer.unknown ? 'unknown' : 'classified';
}

/** A picture's id is the digest of its bytes, so its thumbnail never changes. */
function sendThumbnail(reply: FastifyReply, webp: Buffer | undefined): FastifyReply {
  if (!webp) throw new HttpError(404, 'no_such_picture', 'There is no such picture, or its file is gone.');
  return reply.header('Cache-Control', 'private, max-age=86400, immutable').type('image/webp').send(webp);
}

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
        tags,
        summary: 'Figures for Prometheus',
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
