import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { LastlayerError } from '../errors.js';
import { startWorker } from './start-worker.js';
import type { TrunkInfo, TrunkMessage, TrunkOptions, TrunkRequest } from './trunk-message.js';

interface Pending {
  resolve: (embeddings: Float32Array) => void;
  reject: (error: Error) => void;
}

/** The trunk in its own thread, so that the event loop is free while it computes. */
export class TrunkThread {
  private readonly pending = new Map<number, Pending>();
  private batches = 0;
  private closing = false;
  private ended = false;

  /** Rejects where the thread ends unasked. */
  readonly failure: Promise<never>;

  private constructor(
    private readonly worker: Worker,
    readonly info: TrunkInfo,
  ) {
    worker.on('message', (message: TrunkMessage) => {
      this.receive(message);
    });
    this.failure = new Promise((_, reject) => {
      const end = (error: Error) => {
        if (this.closing) return;
        for (const { reject } of this.pending.values()) reject(error);
        this.pending.clear();
        reject(error);
      };
      worker.on('error', end);
      worker.on('exit', (code) => {
        this.ended = true;
        end(new Error(`The thread of the network ended with exit code ${code}.`));
      });
    });
    // Whoever waits for it handles it.
    this.failure.catch(() => undefined);
  }

  /**
   * Loads a trunk and runs it once.
   * @throws {LastlayerError} as `loadBackbone` does
   */
  static async start(options: TrunkOptions, onNotice: (line: string) => void): Promise<TrunkThread> {
    const worker = startWorker(options);
    return new Promise((resolve, reject) => {
      const receive = (message: TrunkMessage) => {
        if (message.kind === 'notice') onNotice(message.line);
        if (message.kind === 'unusable') reject(new LastlayerError(message.reason));
        if (message.kind !== 'ready') return;
        worker.off('message', receive).off('error', reject);
        resolve(new TrunkThread(worker, message.trunk));
      };
      worker.on('message', receive).on('error', reject);
    });
  }

  /**
   * @param pixels RGB bytes [N, crop, crop, 3]; they move to the thread and are gone here
   * @returns [N, width]
   * @throws {LastlayerError} where the trunk fails on them
   */
  async embed(pixels: Uint8Array<ArrayBuffer>): Promise<Float32Array> {
    const id = this.batches++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve, reject });
      this.send({ id, pixels }, [pixels.buffer]);
    });
  }

  /** Ends the thread when it is through with what it was given. */
  async close(): Promise<void> {
    if (this.ended) return;
    this.closing = true;
    const exit = once(this.worker, 'exit');
    this.send('end');
    await exit;
  }

  private send(request: TrunkRequest, transfer: ArrayBuffer[] = []): void {
    this.worker.postMessage(request, transfer);
  }

  private receive(message: TrunkMessage): void {
    if (message.kind !== 'embedded' && message.kind !== 'failed') return;
    const pending = this.pending.get(message.id);
    this.pending.delete(message.id);
    if (message.kind === 'embedded') pending?.resolve(message.embeddings);
    else pending?.reject(new LastlayerError(message.reason));
  }
}
