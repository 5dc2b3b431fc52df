import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { Semaphore } from 'async-mutex';
import type { InferenceSession } from 'onnxruntime-node';
import { LastlayerError, messageOf } from '../util/errors.js';
import { type Backbone, picturesIn } from './backbone.js';
import { loadError, sessionOptions } from './session.js';

/** Beyond, the memory of one more copy of the network is worth more than what it adds. */
const MOST_WORKERS = 16;

/** What a thread is started with. */
export interface BackboneProgram {
  /** ONNX graph of RGB bytes [N, crop, crop, 3] → embedding [N, width]. */
  graph: Uint8Array;
  options: InferenceSession.SessionOptions;
  crop: number;
}

/** What a thread makes of a batch: its embeddings [N, width], or what failed and why. */
export type Answer =
  { failed?: undefined; embedding: Float32Array } | { failed: 'load' | 'run'; reason: string };

/**
 * The backbone in threads of its own, for many pictures: `Backbone.run` blocks the event loop while it computes, and with it
 * all that reads and decodes the next pictures. On the processor, each thread runs batches of its own: cores that share a
 * batch wait for each other after every layer (measured on 2 cores, int8: 13.4 against 14.4 ms of processor time a
 * picture, decoding included).
 *
 * Threads start when they are first needed, and keep the process alive until `close`.
 */
export class BackbonePool {
  /** Batches that run at the same time, at most. */
  readonly size: number;

  private readonly threadsEach: number;
  private readonly free: Semaphore;
  private readonly running = new Set<Promise<unknown>>();
  private idle: BackboneThread[] = [];
  private program: Promise<BackboneProgram> | undefined;

  constructor(private readonly backbone: Backbone) {
    const { device = 'cpu', threads = availableParallelism() } = backbone.options;
    this.size = device === 'cpu' ? Math.min(threads, MOST_WORKERS) : 1;
    this.threadsEach = Math.floor(threads / this.size);
    this.free = new Semaphore(this.size);
  }

  /**
   * Runs the backbone over a batch, when a thread is free.
   * @param pixels RGB bytes [N, crop, crop, 3]; they move to the thread and are gone here
   * @param priority of the batches that wait, those of the highest come first; default: 0
   * @returns the embeddings [N, width], row after row
   * @throws {LastlayerError} where they make no such batch, the graph cannot be loaded or run, or the thread dies
   */
  async run(pixels: Uint8Array<ArrayBuffer>, priority = 0): Promise<Float32Array> {
    const count = picturesIn(pixels, this.backbone.transform.crop);
    const running = this.free.runExclusive(() => this.answer(pixels), 1, priority);
    this.running.add(running);
    const answer = await running.finally(() => this.running.delete(running));
    if (answer.failed === undefined) return answer.embedding;
    const { source, options } = this.backbone;
    if (answer.failed === 'load') throw loadError(source, options.device, answer.reason);
    throw new LastlayerError(`${source} failed on a batch of ${count}: ${answer.reason}.`);
  }

  /** Starts all threads and has each run once, so that no later batch waits for it. @throws {LastlayerError} as `run` does */
  async warmUp(): Promise<void> {
    const picture = () => new Uint8Array(3 * this.backbone.transform.crop ** 2);
    await Promise.all(Array.from({ length: this.size }, () => this.run(picture())));
  }

  /** Waits for what is running and ends the threads; a later run starts them again. */
  async close(): Promise<void> {
    await Promise.allSettled(this.running);
    await Promise.all(this.idle.splice(0).map((thread) => thread.close()));
  }

  private async answer(pixels: Uint8Array<ArrayBuffer>): Promise<Answer> {
    this.idle = this.idle.filter((thread) => !thread.hasDied);
    const thread = this.idle.pop() ?? (await this.start());
    const answer = await thread.run(pixels);
    this.idle.push(thread);
    return answer;
  }

  private async start(): Promise<BackboneThread> {
    return new BackboneThread(await (this.program ??= this.prepare()));
  }

  private async prepare(): Promise<BackboneProgram> {
    const { options, transform } = this.backbone;
    const settings = { ...options, threads: this.threadsEach, widen: await this.backbone.widens() };
    return {
      graph: this.backbone.pixelGraph(),
      options: sessionOptions(settings),
      crop: transform.crop,
    };
  }
}

/** What a pass needs of a pool. */
export type BackboneRunner = Pick<BackbonePool, 'size' | 'run'>;

/** One thread, which takes one batch at a time. */
class BackboneThread {
  private readonly worker: Worker;
  private waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined;
  private death: Error | undefined;

  constructor(program: BackboneProgram) {
    // Without the loaders of the main thread, which this one has no use for.
    this.worker = new Worker(new URL('./backbone-worker.js', import.meta.url), { execArgv: [] });
    this.worker.postMessage(program);
    this.worker.on('message', (answer: Answer) => this.waiting?.resolve(answer));
    this.worker.on('error', (error) => {
      this.die(new LastlayerError(`The thread of the network died: ${messageOf(error)}.`));
    });
    this.worker.on('exit', (code) => {
      this.die(new LastlayerError(`The thread of the network ended with exit code ${code}.`));
    });
  }

  get hasDied(): boolean {
    return this.death !== undefined;
  }

  async run(pixels: Uint8Array<ArrayBuffer>): Promise<Answer> {
    if (this.death) throw this.death;
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.worker.postMessage(pixels, [pixels.buffer]);
    });
  }

  async close(): Promise<void> {
    if (this.death) return;
    const exit = once(this.worker, 'exit');
    this.worker.postMessage(null);
    await exit;
  }

  private die(reason: Error): void {
    this.death ??= reason;
    this.waiting?.reject(this.death);
  }
}
