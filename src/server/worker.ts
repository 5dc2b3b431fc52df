/** The thread of the trunk: onnxruntime-node's `run` blocks the thread that calls it, so no other work is done here. */
import { parentPort, workerData } from 'node:worker_threads';
import { loadBackbone, type Backbone } from '../backbone/index.js';
import { LastlayerError, messageOf } from '../errors.js';
import type { Batch, TrunkMessage, TrunkOptions, TrunkRequest } from './trunk-message.js';

const trunk = await load(workerData as TrunkOptions);
if (trunk) {
  // One after another: two runs at the same time would only share the same cores.
  let last = Promise.resolve();
  parentPort?.on('message', (request: TrunkRequest) => {
    last = last.then(() => (request === 'end' ? end(trunk) : embed(trunk, request)));
  });
}

async function load(options: TrunkOptions): Promise<Backbone | undefined> {
  try {
    const backbone = await loadBackbone({
      ...options,
      onNotice: (line) => {
        send({ kind: 'notice', line });
      },
    });
    const { id, source, transform, transformId, width } = backbone;
    // The graph is loaded by its first run, for which no client should wait.
    await backbone.run(new Uint8Array(3 * transform.crop ** 2));
    send({ kind: 'ready', trunk: { id, source, transform, transformId, width } });
    return backbone;
  } catch (error) {
    if (!(error instanceof LastlayerError)) throw error;
    send({ kind: 'unusable', reason: error.message });
    return undefined;
  }
}

async function embed(backbone: Backbone, { id, pixels }: Batch): Promise<void> {
  try {
    const { embedding } = await backbone.run(pixels);
    send({ kind: 'embedded', id, embeddings: embedding });
  } catch (error) {
    send({ kind: 'failed', id, reason: messageOf(error) });
  }
}

/** Lets the thread end by itself: to terminate it while onnxruntime runs would take the process down. */
async function end(backbone: Backbone): Promise<void> {
  await backbone.release();
  parentPort?.close();
}

function send(message: TrunkMessage): void {
  parentPort?.postMessage(message);
}
