import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import type { Backbone } from '../backbone/backbone.js';
import type { BackbonePool } from '../backbone/pool.js';
import { type Classification, classificationOf } from '../classify/classifier.js';
import { type DecodedImage, decodeImage, joinPixels } from '../image/decode.js';
import { LastlayerError } from '../util/errors.js';
import type { ServedHead } from './heads.js';
import type { Limits } from './limits.js';
import type { SimilarPicture, SimilarPictures } from './similar.js';
import type { Upload } from './uploads.js';

interface Question {
  head: ServedHead;
  /** How many classes to return. */
  topK: number;
  /** How many similar pictures to return. */
  similar: number;
  /** Aborts when nobody waits for the answer any more. */
  signal: AbortSignal;
}

/** The answer for one picture. */
export type Answer = Pick<Upload, 'field' | 'filename'> & (Result | { error: PictureError });
type Result = Classification & { similar?: SimilarPicture[] | undefined };

interface PictureError {
  code: string;
  message: string;
}

interface PipelineParts {
  backbone: Backbone;
  batcher: Batcher;
  limits: Limits;
  similar: SimilarPictures | undefined;
  maxPixels: number;
}

/** Decodes pictures on libuv's threads, embeds them on the backbone's, and classifies the embeddings here. */
export class Pipeline {
  private readonly decoding = pLimit(availableParallelism());

  constructor(private readonly parts: PipelineParts) {}

  /**
   * @returns the answers in the order of the pictures
   * @throws {HttpError} if the server is at its limit
   * @throws the signal's reason
   */
  async classify(uploads: readonly Upload[], question: Question): Promise<Answer[]> {
    const release = this.parts.limits.admit(uploads.length);
    try {
      return await Promise.all(uploads.map((upload) => this.answer(upload, question)));
    } finally {
      release();
    }
  }

  private async answer({ bytes, ...names }: Upload, question: Question): Promise<Answer> {
    const { head, topK, similar, signal } = question;
    const image = await this.decoding(() => this.decode(bytes, signal));
    if ('error' in image) return { ...names, error: image.error };
    const embedding = await this.parts.batcher.add(image, signal);
    const found = similar > 0 ? await this.parts.similar?.find(embedding, similar) : undefined;
    return { ...names, ...classificationOf(head.head, embedding, topK), similar: found };
  }

  private async decode(bytes: Buffer, signal: AbortSignal): Promise<DecodedImage | { error: PictureError }> {
    signal.throwIfAborted();
    const { backbone, maxPixels } = this.parts;
    try {
      return await decodeImage(bytes, backbone.transform, { maxPixels, svg: false });
    } catch (error) {
      if (!(error instanceof LastlayerError)) throw error;
      const message = `This is not a readable picture: ${error.message}.`;
      return { error: { code: 'unreadable_picture', message } };
    }
  }
}

interface BatcherOptions {
  pool: Pick<BackbonePool, 'size' | 'run'>;
  /** The most pictures of a batch. */
  maxBatch: number;
  /** How long an idle thread of the backbone waits for a batch to fill, in ms. */
  maxWait: number;
  /** Called after each batch. */
  onBatch: (pictures: number, seconds: number) => void;
}

interface Waiting {
  image: DecodedImage;
  signal: AbortSignal;
  resolve: (embedding: Float32Array) => void;
  reject: (error: unknown) => void;
}

/**
 * Dynamic batching: pictures that arrive while all threads of the backbone are busy form the next batch, first come, first served.
 * An idle thread starts at once, or waits up to `maxWait` for more.
 */
export class Batcher {
  private queue: Waiting[] = [];
  private running = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: BatcherOptions) {}

  /**
   * @param signal aborts when nobody waits for the answer any more
   * @returns the picture's embedding, [width]
   * @throws the signal's reason, or what the backbone throws
   */
  add(image: DecodedImage, signal: AbortSignal): Promise<Float32Array> {
    return new Promise((resolve, reject) => {
      this.queue.push({ image, signal, resolve, reject });
      this.schedule();
    });
  }

  /** Rejects all that wait, and starts no more batches. */
  close(reason: Error): void {
    clearTimeout(this.timer);
    for (const { reject } of this.queue) reject(reason);
    this.queue = [];
  }

  private schedule(): void {
    if (this.running >= this.options.pool.size || this.queue.length === 0) return;
    const { maxBatch, maxWait } = this.options;
    if (maxWait === 0 || this.queue.length >= maxBatch) void this.runBatch();
    else this.timer ??= setTimeout(() => void this.runBatch(), maxWait);
  }

  private async runBatch(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const batch = this.take();
    if (batch.length === 0) return;
    this.running++;
    try {
      await this.embed(batch);
    } finally {
      this.running--;
      this.schedule();
    }
  }

  /** Takes the pictures of the next batch off the queue, and drops those that nobody waits for. */
  private take(): Waiting[] {
    const waiting = this.queue.filter(({ signal }) => !signal.aborted);
    for (const { signal, reject } of this.queue) if (signal.aborted) reject(signal.reason);
    this.queue = waiting.slice(this.options.maxBatch);
    return waiting.slice(0, this.options.maxBatch);
  }

  private async embed(batch: readonly Waiting[]): Promise<void> {
    const started = performance.now();
    try {
      const embeddings = await this.options.pool.run(joinPixels(batch.map(({ image }) => image)));
      const width = embeddings.length / batch.length;
      batch.forEach(({ resolve }, i) => {
        resolve(embeddings.slice(i * width, (i + 1) * width));
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    this.options.onBatch(batch.length, (performance.now() - started) / 1000);
  }
}
