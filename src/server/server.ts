import type { FastifyInstance } from 'fastify';
import type { Backbone } from '../backbone/backbone.js';
import { loadBackbone } from '../backbone/load.js';
import { BackbonePool } from '../backbone/pool.js';
import { type Access, createApp, drain, listen, restrictAccess } from './app.js';
import { HttpError } from './errors.js';
import { Heads } from './heads.js';
import { Batcher, embeddingsOf, mappedOf, Pipeline } from './inference.js';
import { Limits } from './limits.js';
import { Metrics } from './metrics.js';
import { isLoopback, type ServerOptions, type Settings, settingsOf } from './options.js';
import { addPage } from './page.js';
import { addOperations, addRoutes } from './routes.js';
import { SimilarPictures } from './similar.js';
import { deferContinue } from './uploads.js';

/** A server that accepts requests. */
export interface RunningServer {
  /** e.g. `http://127.0.0.1:8080` */
  url: string;
  /** The heads as they were at the start, the default one first. */
  heads: { name: string; id: string }[];
  /** The data set that is searched for similar pictures; null if there is none. */
  dataset: string | null;
  /** Accepts no more requests, waits up to `grace` for those in progress, cuts off the rest, and frees everything. */
  close(): Promise<void>;
}

/**
 * Serves heads of one backbone over HTTP. The backbone runs in threads of its own and batches the pictures of concurrent
 * requests. `/openapi.json` describes the API.
 * @throws {UsageError} if an option is invalid
 * @throws {LastlayerError} if a head, the backbone, the store or the address cannot be used, or they do not belong together
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const settings = settingsOf(options);
  const app = await createApp(settings);
  const onNotice = (line: string) => {
    app.log.warn(line);
  };
  const heads = await Heads.load(settings.heads, settings);
  const backbone = await loadBackbone({
    ...settings,
    model: settings.model ?? heads.first.head.modelId,
    neededBy: heads.first.path,
    onNotice,
  });
  heads.check(backbone);
  const pool = new BackbonePool(backbone);
  let similar: SimilarPictures | undefined;
  try {
    await pool.warmUp();
    similar = await SimilarPictures.open(backbone, { ...settings, onNotice });
    return await serve(app, settings, { heads, backbone, pool, similar });
  } catch (error) {
    similar?.close();
    await pool.close();
    throw error;
  }
}

/** With an API key, those that send it. Without one, a server on a loopback address admits those that address it as such. */
function accessTo({ apiKey, auth, host }: Settings): Access {
  if (apiKey === undefined) {
    const isGuarded = auth && isLoopback(host);
    return { thisMachine: isGuarded ? { help: 'Behind a proxy, start it with --api-key or --no-auth.' } : undefined };
  }
  return {
    secret: {
      texts: [apiKey],
      sentIn: ({ headers }) => /^Bearer +(.+)$/i.exec(headers.authorization ?? '')?.[1] ?? headers['x-api-key'],
      refusal: () =>
        new HttpError(
          401,
          'unauthorized',
          'Send the API key as the header `Authorization: Bearer KEY` or `X-API-Key: KEY`.',
          { 'WWW-Authenticate': 'Bearer' },
        ),
    },
  };
}

interface Parts {
  heads: Heads;
  backbone: Backbone;
  pool: BackbonePool;
  similar: SimilarPictures | undefined;
}

async function serve(
  app: FastifyInstance,
  settings: Settings,
  { heads, backbone, pool, similar }: Parts,
): Promise<RunningServer> {
  let isReady = true;
  const limits = new Limits(settings);
  const metrics = new Metrics(limits);
  // Its thread is started when the first explanation is asked for.
  const mapPool = new BackbonePool(backbone, { map: true, most: 1 });
  const onBatchOf = (by: BackbonePool) => (pictures: number, seconds: number) => {
    limits.recordSpeed(pictures, seconds / by.size);
    metrics.batchPictures.observe(pictures);
    metrics.batchSeconds.observe(seconds);
  };
  const batcher = new Batcher({ ...settings, pool, pick: embeddingsOf, onBatch: onBatchOf(pool) });
  const mapBatcher = new Batcher({ ...settings, pool: mapPool, pick: mappedOf, onBatch: onBatchOf(mapPool) });
  const pipeline = new Pipeline({ ...settings, backbone, batcher, mapBatcher, limits, similar });

  deferContinue(app);
  restrictAccess(app, accessTo(settings));
  addOperations(app, metrics, () => isReady);
  addPage(app, 'server');
  await addRoutes(app, { heads, pipeline, limits, metrics, similar, timeout: settings.timeout });
  app.addHook('onSend', async (_request, reply) => {
    // An idle connection would keep a stopping server waiting.
    if (!isReady) reply.header('Connection', 'close');
  });

  const url = await listen(
    app,
    settings,
    (address) => `Serving ${Object.keys(settings.heads).join(', ')} at ${address}`,
  );
  heads.watch(backbone, settings.reloadInterval, {
    onReload: ({ name, id }) => {
      metrics.reloads.inc({ head: name, outcome: 'reloaded' });
      app.log.info({ head: name, id }, `Reloaded the head ${name}, now ${id}.`);
    },
    onReject: (name, reason) => {
      metrics.reloads.inc({ head: name, outcome: 'rejected' });
      app.log.error({ head: name }, `The head ${name} was not reloaded: ${reason}`);
    },
  });
  return {
    url,
    heads: heads.list().map(({ name, id }) => ({ name, id })),
    dataset: similar?.record.dataset ?? null,
    close: async () => {
      isReady = false;
      heads.close();
      await drain(app, settings.grace);
      for (const each of [batcher, mapBatcher]) each.close(new HttpError(503, 'stopping', 'The server has stopped.'));
      similar?.close();
      await Promise.all([pool.close(), mapPool.close()]);
    },
  };
}
