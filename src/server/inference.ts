import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import type { Backbone, FeatureMap, Features } from '../backbone/backbone.js';
import { type Classification, classificationOf } from '../classify/classifier.js';
import type { BackbonePool } from '../backbone/pool.js';
import { explain, type Explanation, leadingLabels } from '../classify/explain.js';
import { NoFeatureMapError } from '../formats/onnx/feature-map.js';
import { type DecodedImage, decodeImage, joinPixels } from '../image/decode.js';
import { seenRegion } from '../image/transform.js';
import { LastlayerError } from '../util/errors.js';
import { rowsOf } from '../util/math.js';
import { HttpError } from './errors.js';
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
  /** How many of the most probable classes to explain. */
  explain: number;
  /** Whether the pixels of the center crop are wanted, to draw them. */
  pixels: boolean;
  /** Aborts when nobody waits for the answer any more. */
  signal: AbortSignal;
}

/** The answer for one picture. */
export type Answer = Pick<Upload, 'field' | 'filename'> & (Result | { error: PictureError });
type Result = Classification & {
  similar?: SimilarPicture[] | undefined;
  explanations?: Explanation[] | undefined;
  pixels?: Uint8Array | undefined;
};

interface PictureError {
  code: string;
  message: string;
}

interface PipelineParts {
  backbone: Backbone;
  batcher: Batcher<Float32Array>;
  /** The same with feature maps. */
  mapBatcher: Batcher<Mapped>;
  limits: Limits;
  similar: SimilarPictures | undefined;
  maxPixels: number;
}

/** Decodes pictures on libuv's threads, embeds them on the backbone's, and classifies the embeddings here. */
export class Pipeline {
  private readonly decoding = pLimit(availableParallelism());

  constructor(private readonly parts: PipelineParts) {}

  /** Side of the center crop, in pixels. */
  get crop(): number {
    return this.parts.backbone.transform.crop;
  }

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
    const { head, topK, similar, explain: explained, signal } = question;
    const image = await this.decoding(() => this.decode(bytes, signal));
    if ('error' in image) return { ...names, error: image.error };
    const { embedding, map } =
      explained > 0
        ? await this.map(image, signal)
        : { embedding: await this.parts.batcher.add(image, signal), map: undefined };
    const found = similar > 0 ? await this.parts.similar?.find(embedding, similar) : undefined;
    const answer = { ...names, ...classificationOf(head.head, embedding, topK), similar: found };
    if (!map) return answer;
    const region = seenRegion(image, this.parts.backbone.transform);
    const labels = leadingLabels(head.head, embedding, explained);
    const explanations = explain(head.head, { embedding, map, region }, labels);
    return { ...answer, explanations, pixels: question.pixels ? image.pixels : undefined };
  }

  private async map(image: DecodedImage, signal: AbortSignal): Promise<Mapped> {
    try {
      return await this.parts.mapBatcher.add(image, signal);
    } catch (error) {
      if (!(error instanceof NoFeatureMapError)) throw error;
      throw new HttpError(
        400,
        'no_feature_map',
        "It cannot be told where a class is seen: this server's backbone does not take the mean of a map of features.",
      );
    }
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

/** An embedding and the map that it is the mean of. */
interface Mapped {
  embedding: Float32Array;
  map: FeatureMap;
}

/** The embeddings of a batch. @param count of its pictures */
export function embeddingsOf({ embedding }: Features, count: number): Float32Array[] {
  return rowsOf(embedding, count);
}

/** The embeddings and maps of a batch. @param count of its pictures */
export function mappedOf({ embedding, map }: Features, count: number): Mapped[] {
  const maps = rowsOf(map!.values, count);
  return rowsOf(embedding, count).map((row, i) => ({ embedding: row, map: { ...map!, values: maps[i]! } }));
}

interface BatcherOptions<T> {
  pool: Pick<BackbonePool, 'size' | 'compute'>;
  /** What is wanted for each of so many pictures. */
  pick: (features: Features, count: number) => T[];
  /** The most pictures of a batch. */
  maxBatch: number;
  /** How long an idle thread of the backbone waits for a batch to fill, in ms. */
  maxWait: number;
  /** Called after each batch. */
  onBatch: (pictures: number, seconds: number) => void;
}

interface Waiting<T> {
  image: DecodedImage;
  signal: AbortSignal;
  resolve: (found: T) => void;
  reject: (error: unknown) => void;
}

/**
 * Dynamic batching: pictures that arrive while all threads of the backbone are busy form the next batch, first come, first served.
 * An idle thread starts at once, or waits up to `maxWait` for more.
 */
export class Batcher<T> {
  private queue: Waiting<T>[] = [];
  private running = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: BatcherOptions<T>) {}

  /**
   * @param signal aborts when nobody waits for the answer any more
   * @returns what is picked for the picture
   * @throws the signal's reason, or what the backbone throws
   */
  add(image: DecodedImage, signal: AbortSignal): Promise<T> {
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
  private take(): Waiting<T>[] {
    const waiting = this.queue.filter(({ signal }) => !signal.aborted);
    for (const { signal, reject } of this.queue) if (signal.aborted) reject(signal.reason);
    this.queue = waiting.slice(this.options.maxBatch);
    return waiting.slice(0, this.options.maxBatch);
  }

  private async embed(batch: readonly Waiting<T>[]): Promise<void> {
    const started = performance.now();
    try {
      const { pool, pick } = this.options;
      const found = pick(await pool.compute(joinPixels(batch.map(({ image }) => image))), batch.length);
      batch.forEach(({ resolve }, i) => {
        resolve(found[i]!);
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    this.options.onBatch(batch.length, (performance.now() - started) / 1000);
  }
}
