import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import type { Backbone } from '../backbone/backbone.js';
import type { BackbonePool } from '../backbone/pool.js';
import { type Classification, classificationOf } from '../classify/classifier.js';
import { type DecodedImage, decodeImage, joinPixels } from '../image/decode.js';
import { LastlayerError } from '../util/errors.js';
import type { ServedHead } from './heads.js';
import type { Limits } from './limits.js';
import type { SimilarPictures, SimilarRow } from './similar.js';
import type { Upload } from './uploads.js';

/** What is asked of pictures. */
interface Question {
  head: ServedHead;
  /** Classes to name. */
  topK: number;
  /** Similar pictures to show. */
  similar: number;
  /** Aborts where nobody waits for the answer any more. */
  signal: AbortSignal;
}

/** What is answered for one picture. */
export type Answer = Pick<Upload, 'field' | 'filename'> &
  (Judged | { error: { code: string; message: string } });
type Judged = Classification & { similar?: SimilarRow[] | undefined };

interface PipelineParts {
  backbone: Backbone;
  batcher: Batcher;
  limits: Limits;
  similar: SimilarPictures | undefined;
  maxPixels: number;
}

/** Takes pictures from their bytes to their answers: decoded on libuv's threads, embedded in the backbone's, judged here. */
export class Pipeline {
  private readonly decoding = pLimit(availableParallelism());

  constructor(private readonly parts: PipelineParts) {}

  /**
   * @returns the answers in the order of the pictures
   * @throws {HttpError} where the server has too much to do
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
    const image = await this.decoding(() => this.decode(bytes, question.signal));
    if ('error' in image) return { ...names, error: image.error };
    return { ...names, ...(await this.judge(image, question)) };
  }

  private async decode(
    bytes: Buffer,
    signal: AbortSignal,
  ): Promise<DecodedImage | { error: { code: string; message: string } }> {
    signal.throwIfAborted();
    try {
      return await decodeImage(bytes, this.parts.backbone.transform, {
        maxPixels: this.parts.maxPixels,
        svg: false,
      });
    } catch (error) {
      if (!(error instanceof LastlayerError)) throw error;
      return {
        error: { code: 'unreadable_picture', message: `It is no readable picture: ${error.message}.` },
      };
    }
  }

  private async judge(image: DecodedImage, { head, topK, similar, signal }: Question): Promise<Judged> {
    const embedding = await this.parts.batcher.add(image, signal);
    const found = similar > 0 ? await this.parts.similar?.find(embedding, similar) : undefined;
    return { ...classificationOf(head.head, embedding, topK), similar: found };
  }
}

interface BatcherOptions {
  pool: Pick<BackbonePool, 'size' | 'run'>;
  /** The most pictures of a batch. */
  maxBatch: number;
  /** How long an idle thread of the backbone waits for a batch to fill, in ms. */
  maxWait: number;
  /** Told of each batch that is done. */
  onBatch: (pictures: number, seconds: number) => void;
}

interface Waiting {
  image: DecodedImage;
  signal: AbortSignal;
  resolve: (embedding: Float32Array) => void;
  reject: (error: unknown) => void;
}

/**
 * Dynamic batching: pictures that come while all threads of the backbone are at work are the next batch, in the order in which
 * they came. An idle thread begins at once, or waits a moment for more.
 */
export class Batcher {
  private queue: Waiting[] = [];
  private running = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: BatcherOptions) {}

  /**
   * @param signal aborts where nobody waits for the answer any more
   * @returns the picture's embedding, [width]
   * @throws the signal's reason, and as the backbone does
   */
  add(image: DecodedImage, signal: AbortSignal): Promise<Float32Array> {
    return new Promise((resolve, reject) => {
      this.queue.push({ image, signal, resolve, reject });
      this.schedule();
    });
  }

  /** Lets all go that wait, for this reason, and begins no more batches. */
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

  /** The pictures of the next batch; those that nobody waits for any more are let go. */
  private take(): Waiting[] {
    const [gone, waited] = [this.queue.filter(isGone), this.queue.filter((waiting) => !isGone(waiting))];
    for (const { signal, reject } of gone) reject(signal.reason);
    this.queue = waited.slice(this.options.maxBatch);
    return waited.slice(0, this.options.maxBatch);
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

function isGone({ signal }: Waiting): boolean {
  return signal.aborted;
}
