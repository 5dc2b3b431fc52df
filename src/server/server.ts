import type { FastifyInstance } from 'fastify';
import type { Backbone } from '../backbone/backbone.js';
import { loadBackbone } from '../backbone/load.js';
import { BackbonePool } from '../backbone/pool.js';
import { codeOf, LastlayerError, messageOf } from '../util/errors.js';
import { createApp, guard, meetExpectations } from './app.js';
import { Heads } from './heads.js';
import { HttpError } from './http-error.js';
import { Batcher, Pipeline } from './inference.js';
import { Limits } from './limits.js';
import { Metrics } from './metrics.js';
import { type ServerOptions, type Settings, settingsOf } from './options.js';
import { addPage } from './page/index.js';
import { addOperations, addRoutes } from './routes.js';
import { SimilarPictures } from './similar.js';

/** A server that takes requests. */
export interface RunningServer {
  /** e.g. `http://127.0.0.1:8080` */
  url: string;
  /** The heads as they were when it started, the first one first. */
  heads: { name: string; id: string }[];
  /** The data set that similar pictures are sought in; null where there is none. */
  dataset: string | null;
  /**
   * Takes no more requests, answers those under way, cuts off what is not done when `grace` is over, and frees everything.
   */
  close(): Promise<void>;
}

/**
 * Serves heads over HTTP, all of one backbone, which runs in threads of its own and takes the pictures of many requests
 * together. `/openapi.json` describes what can be asked.
 * @throws {UsageError} where an option makes no sense
 * @throws {LastlayerError} where a head, the backbone, the store or the address cannot be used, or they do not belong together
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const settings = settingsOf(options);
  const app = await createApp(settings);
  const onNotice = (line: string) => {
    app.log.warn(line);
  };
  const heads = await Heads.load(settings.heads);
  const { modelId } = heads.first.head;
  const backbone = await loadBackbone({ ...backboneOptions(settings), modelId, onNotice });
  heads.check(backbone);
  const pool = new BackbonePool(backbone);
  let similar: SimilarPictures | undefined;
  try {
    await pool.warmUp();
    similar = await SimilarPictures.open(backbone, { ...storeOptions(settings), onNotice });
    return await serve(app, settings, heads, backbone, pool, similar);
  } catch (error) {
    similar?.close();
    await pool.close();
    throw error;
  }
}

async function serve(
  app: FastifyInstance,
  settings: Settings,
  heads: Heads,
  backbone: Backbone,
  pool: BackbonePool,
  similar: SimilarPictures | undefined,
): Promise<RunningServer> {
  let ready = true;
  const limits = new Limits(settings);
  const metrics = new Metrics(limits);
  const batcher = new Batcher({
    ...settings,
    pool,
    onBatch: (pictures, seconds) => {
      limits.learn(pictures, seconds / pool.size);
      metrics.batchPictures.observe(pictures);
      metrics.batchSeconds.observe(seconds);
    },
  });
  const pipeline = new Pipeline({ ...settings, backbone, batcher, limits, similar });

  meetExpectations(app);
  guard(app, settings);
  addOperations(app, metrics, () => ready);
  addPage(app);
  await addRoutes(app, { heads, pipeline, limits, metrics, similar, timeout: settings.timeout });
  app.addHook('onSend', async (_request, reply) => {
    // Else its client would keep a connection that the server waits for.
    if (!ready) reply.header('Connection', 'close');
  });

  const url = await listen(app, settings, heads);
  heads.watch(backbone, settings.reloadInterval, {
    onReload: ({ name, id }) => {
      metrics.reloads.inc({ head: name, outcome: 'taken' });
      app.log.info({ head: name, id }, `The head ${name} was read anew and is ${id} now.`);
    },
    onKept: (name, reason) => {
      metrics.reloads.inc({ head: name, outcome: 'kept' });
      app.log.error({ head: name }, `The head ${name} stays as it was: ${reason}`);
    },
  });
  return {
    url,
    heads: heads.list().map(({ name, id }) => ({ name, id })),
    dataset: similar?.record.dataset ?? null,
    close: async () => {
      ready = false;
      heads.close();
      await drain(app, settings.grace);
      batcher.close(new HttpError(503, 'stopping', 'The server has stopped.'));
      similar?.close();
      await pool.close();
    },
  };
}

async function listen(app: FastifyInstance, { host, port }: Settings, heads: Heads): Promise<string> {
  const names = heads.list().map(({ name }) => name);
  try {
    return await app.listen({
      host,
      port,
      listenTextResolver: (address) => `Serving ${names.join(', ')} at ${address}`,
    });
  } catch (error) {
    const hint =
      codeOf(error) === 'EADDRINUSE' ? 'Another program has it; choose one by --port.' : messageOf(error);
    throw new LastlayerError(`The server cannot listen on port ${port} of ${host}. ${hint}`);
  }
}

/** Waits for the requests under way, but not for ever. */
async function drain(app: FastifyInstance, grace: number): Promise<void> {
  const cutOff = setTimeout(() => {
    app.server.closeAllConnections();
  }, grace);
  await app.close();
  clearTimeout(cutOff);
}

function backboneOptions({ model, modelsDir, device, threads }: Settings) {
  return {
    model,
    modelsDir,
    device,
    threads,
  };
}

function storeOptions({ store, dataset }: Settings) {
  return { store, dataset };
}
