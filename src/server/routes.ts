import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { abortable } from '../util/async.js';
import { HttpError } from './errors.js';
import { baselineOf, type Heads } from './heads.js';
import type { Answer, Pipeline } from './inference.js';
import type { Limits } from './limits.js';
import type { Metrics } from './metrics.js';
import * as schemas from './schemas.js';
import type { SimilarPictures } from './similar.js';
import { acceptUploads, uploadsOf } from './uploads.js';

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
  Querystring: { topK: number; similar: number; explain: number; explainScale?: number | undefined };
}

/** The routes for pictures and heads. */
export async function addRoutes(app: FastifyInstance, parts: RouteParts): Promise<void> {
  const { heads, limits, similar } = parts;
  const tags = ['classify'];

  await app.register(async (posts) => {
    await acceptUploads(posts, limits);
    const schema = {
      tags,
      querystring: schemas.classifyQuery,
      response: {
        200: schemas.classifyAnswer,
        ...schemas.errorAnswers(400, 401, 404, 413, 415, 422, 429, 503),
      },
    };
    const config = { requestBody: schemas.pictureBody };
    const handler = (request: FastifyRequest<ClassifyRoute>, reply: FastifyReply) => classify(request, reply, parts);
    posts.post<ClassifyRoute>(
      '/v1/classify',
      { config, schema: { ...schema, summary: 'Classify pictures with the default head' } },
      handler,
    );
    posts.post<ClassifyRoute>(
      '/v1/heads/:name/classify',
      {
        config,
        schema: { ...schema, summary: 'Classify pictures with this head', params: schemas.headParams },
      },
      handler,
    );
  });

  app.get(
    '/v1/heads',
    {
      schema: {
        tags,
        summary: 'List the heads',
        response: { 200: schemas.headsAnswer, ...schemas.errorAnswers(401) },
      },
    },
    () => ({
      heads: heads.list().map(({ name, id, loaded, head }) => {
        const { kind, labels, modelId, created } = head;
        return { name, id, kind, labels, modelId, created, loaded, baseline: baselineOf(head) };
      }),
      similar: similar !== undefined,
    }),
  );

  app.get<{ Params: { id: string } }>(
    '/v1/pictures/:id/thumbnail',
    {
      schema: {
        tags,
        summary: 'Get a thumbnail of a similar picture',
        params: schemas.pictureParams,
        response: { 200: schemas.thumbnailAnswer, ...schemas.errorAnswers(400, 401, 404) },
      },
    },
    async ({ params: { id } }, reply) => {
      const webp = await similar?.thumbnail(id);
      if (!webp) {
        throw new HttpError(404, 'unknown_picture', 'There is no such picture, or its file is gone.');
      }
      // The id is the digest of the picture's bytes, so its thumbnail never changes.
      return reply.header('Cache-Control', 'private, max-age=86400, immutable').type('image/webp').send(webp);
    },
  );
}

async function classify(
  request: FastifyRequest<ClassifyRoute>,
  reply: FastifyReply,
  { heads, pipeline, metrics, similar, timeout }: RouteParts,
) {
  const head = heads.get(request.params.name);
  if (request.query.similar > 0 && !similar) {
    throw new HttpError(400, 'no_store', 'Similar pictures are not available: the server was started without a store.');
  }
  const png = wantsPng(request);
  const uploads = await uploadsOf(request);
  if (png && uploads.length > 1) {
    throw new HttpError(400, 'one_png', 'One picture is explained in a PNG; send one, or accept JSON.');
  }
  const results = await withDeadline(reply, timeout, (signal) =>
    pipeline.classify(uploads, { head, ...request.query, pixels: png, signal }),
  );
  for (const result of results) metrics.pictures.inc({ head: head.name, outcome: outcomeOf(result) });
  const [only, second] = results;
  if (only && 'error' in only && !second) throw new HttpError(422, only.error.code, only.error.message);
  if (png && only && !('error' in only)) {
    return reply.type('image/png').send(await drawn(only, pipeline.crop, request.query.explainScale));
  }
  return { head: { name: head.name, id: head.id }, results };
}

/** @throws {HttpError} if a PNG is accepted, but nothing is asked for that one could show */
function wantsPng({ headers, query }: FastifyRequest<ClassifyRoute>): boolean {
  if (!/\bimage\/png\b/.test(headers.accept ?? '')) return false;
  if (query.explain > 0) return true;
  throw new HttpError(400, 'no_png', 'A PNG shows where classes are seen: add ?explain=2, or accept JSON.');
}

async function drawn(
  { filename, explanations = [], pixels }: Exclude<Answer, { error: unknown }>,
  crop: number,
  scale?: number,
): Promise<Buffer> {
  // They load fonts and what draws them.
  const [{ drawExplained }, { scaleOf }] = await Promise.all([
    import('../image/explained-picture.js'),
    import('../image/heat-map.js'),
  ]);
  return drawExplained({
    pixels: pixels!,
    crop,
    title: filename ?? 'The picture',
    panels: explanations,
    scale: scale ?? scaleOf(explanations.slice(0, 1).map(({ shares }) => shares)),
  });
}

/**
 * Runs work until the client disconnects or the time is up, with a signal that aborts then. (Fastify's own signal and timeout end
 * with the request's body.)
 * @throws {HttpError} 503 as soon as the time is up, even if the work takes a little longer to stop
 */
async function withDeadline<T>(reply: FastifyReply, ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const { signal } = controller;
  const timer = setTimeout(() => {
    controller.abort(new HttpError(503, 'timeout', 'The answer took too long.', { 'Retry-After': '1' }));
  }, ms);
  reply.raw.once('close', () => {
    clearTimeout(timer);
    controller.abort(new HttpError(499, 'client_gone', 'The client did not wait for the answer.'));
  });
  return abortable(work(signal), signal);
}

function outcomeOf(answer: Answer): string {
  if ('error' in answer) return 'unreadable';
  return answer.unknown ? 'unknown' : 'classified';
}

/** The routes for whoever operates the server. */
export function addOperations(app: FastifyInstance, metrics: Metrics, isReady: () => boolean): void {
  const tags = ['operations'];
  const config = { open: true };
  app.get(
    '/healthz',
    { config, schema: { tags, summary: 'Is the process alive?', response: { 200: schemas.stateAnswer } } },
    () => ({ status: 'ok' }),
  );
  app.get(
    '/readyz',
    {
      config,
      schema: {
        tags,
        summary: 'Does the server accept pictures?',
        response: { 200: schemas.stateAnswer, 503: schemas.stateAnswer },
      },
    },
    (_request, reply) => reply.code(isReady() ? 200 : 503).send({ status: isReady() ? 'ready' : 'stopping' }),
  );
  app.get(
    '/metrics',
    {
      schema: {
        tags,
        summary: 'Metrics for Prometheus',
        response: { 200: schemas.metricsAnswer, ...schemas.errorAnswers(401) },
      },
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()),
  );
  app.get('/openapi.json', { config, schema: { hide: true } }, () => app.swagger());

  app.addHook('onResponse', async (request, reply) => {
    // The route's pattern, not the URL: clients must not be able to create time series.
    const route = request.routeOptions.url ?? 'none';
    const { method, url } = request;
    const { statusCode: status, elapsedTime } = reply;
    metrics.requests.observe({ route, method, status }, elapsedTime / 1000);
    const ms = Math.round(elapsedTime);
    request.log.debug({ method, url, status, ms }, `${method} ${url}: ${status} in ${ms} ms`);
  });
}
