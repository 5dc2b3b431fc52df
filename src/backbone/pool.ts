import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Semaphore } from 'async-mutex';
import type { InferenceSession } from 'onnxruntime-node';
import type { Fingerprint } from '../image/fingerprint.js';
import type { Square } from '../image/square.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import { type Backbone, type Features, picturesIn } from './backbone.js';
import { loadError, runError, sessionOptions } from './session.js';

/** Beyond this, the memory for the activations of another batch is not worth it. */
const MOST_WORKERS = 64;

/** What a thread needs to start. */
export interface BackboneProgram {
  /** ONNX model of RGB bytes [N, crop, crop, 3] → embedding [N, width], or the file that holds it, see `BackbonePool`. */
  graph: Uint8Array<ArrayBuffer> | string;
  options: InferenceSession.SessionOptions;
  crop: number;
  /** Whether its last output is the feature map, and wanted. */
  map: boolean;
}

/** A thread's answer to a batch: the embeddings [N, width] with the feature map or the fingerprints, or what failed and why. */
export type Answer =
  | {
      failed?: undefined;
      embedding: Float32Array;
      map?: { data: Float32Array; dims: readonly number[] } | undefined;
      fingerprints?: Fingerprint[] | undefined;
    }
  | { failed: 'load' | 'run'; reason: string };

/** RGB bytes [N, crop, crop, 3], or N pictures. */
type Batch = Uint8Array<ArrayBuffer> | readonly Square[];

/**
 * The backbone in threads of its own, for many pictures. `Backbone.run` blocks the event loop while it computes, and so the
 * reading and decoding of the next pictures. On a CPU each thread runs whole batches, because cores that share a batch wait
 * for each other after every layer (measured on 2 cores, int8: 13.4 against 14.4 ms of CPU time per picture, decoding
 * included).
 *
 * The first thread has a copy of the model of its own. For the others, onnxruntime optimises the model once more and writes it,
 * the weights laid out as this processor multiplies them, to a temporary file that they all map into memory. So another thread
 * takes the memory of its activations alone (ResNet-18 in float32: 60 MiB rather than 220), and starts at once.
 *
 * Threads start when they are first needed, and keep the process alive until `close`.
 */
export class BackbonePool {
  /** The most batches that run at the same time. */
  readonly size: number;

  private readonly threadsEach: number;
  private readonly free: Semaphore;
  private readonly running = new Set<Promise<unknown>>();
  private idle: BackboneThread[] = [];
  private hasStarted = false;
  private shared: Promise<BackboneProgram | undefined> | undefined;
  private readonly folder = new TemporaryFolder();

  private readonly map: boolean;

  constructor(
    private readonly backbone: Backbone,
    {
      map = false,
      most = MOST_WORKERS,
    }: {
      /** Whether {@link compute} gives the feature map, too. @default false */
      map?: boolean | undefined;
      /** Batches to run at the same time. @default one for each thread of the backbone's options */
      most?: number | undefined;
    } = {},
  ) {
    this.map = map;
    const { device = 'cpu', threads = availableParallelism() } = backbone.options;
    this.size = device === 'cpu' ? Math.min(threads, most) : 1;
    this.threadsEach = Math.floor(threads / this.size);
    this.free = new Semaphore(this.size);
  }

  /**
   * Runs the backbone on a batch as soon as a thread is free.
   * @param pixels RGB bytes [N, crop, crop, 3]; they are transferred to the thread, so this array is empty afterwards
   * @param priority waiting batches of a higher priority come first
   * @returns the embeddings [N, width], row after row
   * @throws {LastlayerError} if the pixels are not such a batch, the model cannot be loaded or run, or the thread dies
   */
  async run(pixels: Uint8Array<ArrayBuffer>, priority = 0): Promise<Float32Array> {
    return (await this.compute(pixels, priority)).embedding;
  }

  /** As {@link run}, with the feature map if the pool is for it. @throws {LastlayerError} also if there is no such map */
  async compute(pixels: Uint8Array<ArrayBuffer>, priority = 0): Promise<Features> {
    const count = picturesIn(pixels, this.backbone.transform.crop);
    const { embedding, map } = await this.process(pixels, count, priority);
    return { embedding, ...(this.map && { map: this.backbone.mapOf(map, embedding) }) };
  }

  /**
   * Enlarges pictures that are small, takes their fingerprints and runs the backbone on them, all in one thread, as soon as one is
   * free.
   * @returns the embeddings [N, width], row after row
   * @throws {LastlayerError} if a picture has too few or too many bytes, or as {@link run} does
   */
  async embed(
    squares: readonly Square[],
    priority = 0,
  ): Promise<{ embedding: Float32Array; fingerprints: Fingerprint[] }> {
    for (const square of squares) checkLength(square, this.backbone.transform.crop);
    const { embedding, fingerprints = [] } = await this.process(squares, squares.length, priority);
    return { embedding, fingerprints };
  }

  private async process(batch: Batch, count: number, priority: number) {
    const running = this.free.runExclusive(() => this.answer(batch), 1, priority);
    this.running.add(running);
    const answer = await running.finally(() => this.running.delete(running));
    if (answer.failed === undefined) return answer;
    const { source, options } = this.backbone;
    if (answer.failed === 'load') throw loadError(source, options.device, answer.reason);
    throw runError(source, `a batch of ${count}`, answer.reason);
  }

  /** Starts all threads, so that no later batch waits for that. @throws {LastlayerError} as `run` does */
  async warmUp(): Promise<void> {
    const picture = () => new Uint8Array(3 * this.backbone.transform.crop ** 2);
    await Promise.all(Array.from({ length: this.size }, () => this.run(picture())));
  }

  /** Waits for running batches and ends the threads. A later run starts them again. */
  async close(): Promise<void> {
    await Promise.allSettled(this.running);
    await Promise.all(this.idle.splice(0).map((thread) => thread.close()));
    this.hasStarted = false;
    this.shared = undefined;
    this.folder.remove();
  }

  private async answer(batch: Batch): Promise<Answer> {
    this.idle = this.idle.filter((thread) => !thread.hasDied);
    const thread = this.idle.pop() ?? (await this.start());
    try {
      return await thread.run(batch);
    } finally {
      this.idle.push(thread);
    }
  }

  private async start(): Promise<BackboneThread> {
    const isFirst = !this.hasStarted;
    this.hasStarted = true;
    const shared = isFirst || this.size === 1 ? undefined : await (this.shared ??= this.share());
    return new BackboneThread(shared ?? (await this.prepare()));
  }

  private async prepare(): Promise<BackboneProgram> {
    const { options, transform } = this.backbone;
    const settings = { ...options, threads: this.threadsEach, widen: await this.backbone.needsWidening() };
    return {
      graph: this.map ? this.backbone.mapGraph() : this.backbone.pixelGraph(),
      options: sessionOptions(settings),
      crop: transform.crop,
      map: this.map,
    };
  }

  /** Writes the model as all further threads share it. @returns undefined if there is no room for the file */
  private async share(): Promise<BackboneProgram | undefined> {
    const program = await this.prepare().catch((error: unknown) => {
      // A later batch tries anew.
      this.shared = undefined;
      throw error;
    });
    try {
      const graph = join(await this.folder.make(), 'optimized.onnx');
      await optimize(program, graph);
      return { ...program, graph, options: { ...program.options, graphOptimizationLevel: 'disabled' } };
    } catch {
      this.folder.remove();
      return undefined;
    }
  }
}

/** @throws {LastlayerError} if a square does not have the bytes that its size takes */
function checkLength(square: Square, crop: number): void {
  const { pixels, width, height } =
    square instanceof Uint8Array ? { pixels: square, width: crop, height: crop } : square;
  if (pixels.length === 3 * width * height) return;
  throw new LastlayerError(
    `RGB bytes of ${width} × ${height} pixels are expected, which are ${3 * width * height}; ${pixels.length} were given.`,
  );
}

/**
 * Has onnxruntime write a model as it runs it on this very processor, with the weights in a file beside it. In a thread, which it
 * would block.
 * @throws {Error} if it cannot be loaded or written
 */
async function optimize({ options, ...program }: BackboneProgram, path: string): Promise<void> {
  const writing: InferenceSession.SessionOptions = {
    ...options,
    optimizedModelFilePath: path,
    extra: {
      session: {
        ...(options.extra?.session as object | undefined),
        optimized_model_external_initializers_file_name: 'weights.bin',
        optimized_model_external_initializers_min_size_in_bytes: '1024',
        save_external_prepacked_constant_initializers: '1',
      },
    },
  };
  const thread = new BackboneThread({ ...program, options: writing });
  // The model is loaded, and so written, before the thread answers its first batch.
  const answer = await thread.run(new Uint8Array(3 * program.crop ** 2));
  await thread.close();
  if (answer.failed === 'load') throw new Error(answer.reason);
}

/** A folder that is gone when the process ends, unless it is killed, or the system keeps it. */
class TemporaryFolder {
  private static readonly all = new Set<TemporaryFolder>();
  private path: string | undefined;

  async make(): Promise<string> {
    this.path = await mkdtemp(join(tmpdir(), 'lastlayer-backbone-'));
    // One listener for all: Node warns of a leak if there are more than ten.
    if (TemporaryFolder.all.size === 0) process.on('exit', TemporaryFolder.removeAll);
    TemporaryFolder.all.add(this);
    return this.path;
  }

  remove(): void {
    try {
      if (this.path !== undefined) rmSync(this.path, { recursive: true, force: true });
    } catch {
      // Windows keeps a file while a thread has it mapped, as where the process ends without `close`.
    }
    this.path = undefined;
    TemporaryFolder.all.delete(this);
    if (TemporaryFolder.all.size === 0) process.off('exit', TemporaryFolder.removeAll);
  }

  private static readonly removeAll = (): void => {
    for (const folder of TemporaryFolder.all) folder.remove();
  };
}

/** The part of a pool that runs batches of pixels. */
export type BackboneRunner = Pick<BackbonePool, 'size' | 'run'>;

/** The part of a pool that embeds pictures. */
export type PictureEmbedder = Pick<BackbonePool, 'size' | 'embed'>;

/** One thread. It takes one batch at a time. */
class BackboneThread {
  private readonly worker: Worker;
  private waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined;
  private death: Error | undefined;

  constructor(program: BackboneProgram) {
    // Plain JavaScript, so it needs none of the main thread's loaders.
    this.worker = new Worker(new URL('./backbone-worker.js', import.meta.url), { execArgv: [] });
    // A copy of the model would take as long as the rest of a start.
    this.worker.postMessage(program, typeof program.graph === 'string' ? [] : [program.graph.buffer]);
    this.worker.on('message', (answer: Answer) => this.waiting?.resolve(answer));
    this.worker.on('error', (error) => {
      this.die(new LastlayerError(`A thread of the backbone died: ${messageOf(error)}.`));
    });
    this.worker.on('exit', (code) => {
      this.die(new LastlayerError(`A thread of the backbone ended with exit code ${code}.`));
    });
  }

  get hasDied(): boolean {
    return this.death !== undefined;
  }

  async run(batch: Batch): Promise<Answer> {
    if (this.death) throw this.death;
    // A thread cannot read a message with a buffer that is gone, and would never answer.
    if (batch instanceof Uint8Array && batch.length === 0) {
      throw new LastlayerError('The pixels of a batch went to a thread before. Give each batch a buffer of its own.');
    }
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      // Buffers of a decoder cannot be transferred. The thread joins the copies.
      this.worker.postMessage(batch, batch instanceof Uint8Array ? [batch.buffer] : []);
    });
  }

  async close(): Promise<void> {
    if (this.death) return;
    // Not events.once, which rejects if the thread dies instead.
    const exit = new Promise((resolve) => this.worker.once('exit', resolve));
    this.worker.postMessage(null);
    await exit;
  }

  private die(reason: Error): void {
    this.death ??= reason;
    this.waiting?.reject(this.death);
  }
}
