import type { Backbone, FeatureMap, Features } from '../backbone/backbone.js';
import { BackbonePool, type BackboneRunner } from '../backbone/pool.js';
import { DEFAULT_CONCURRENCY, defaultBatchSize } from '../embed/pipeline.js';
import { type DecodedImage, joinPixels } from '../image/decode.js';
import type { View } from '../image/views.js';
import { abortable, batchesOf, mapAhead } from '../util/async.js';
import { LastlayerError } from '../util/errors.js';
import { rowsOf } from '../util/math.js';
import { checkInteger } from '../util/validate.js';
import { decodeSource, type ImageSource } from './image-source.js';

export interface StreamOptions {
  /** Threads of the backbone to use. The caller closes them. @default threads of its own */
  pool?: BackboneRunner | undefined;
  /** Pictures per batch, in each of the backbone's threads. @default 4 on the CPU, else 32 */
  batchSize?: number | undefined;
  /** Pictures that are read and decoded at the same time. @default 32, or two for each core if that is more */
  concurrency?: number | undefined;
  /** Stops the work. */
  signal?: AbortSignal | undefined;
}

/** What the backbone computes for a picture: a row for each view. Or why the picture cannot be read. */
type Computed<I> = { image: I; rows: Float32Array[]; error?: undefined } | { image: I; error: string };

/** The same with the views themselves and the feature map of each, [1, width, rows, columns]. */
type Mapped<I> =
  | { image: I; rows: Float32Array[]; views: DecodedImage[]; maps: FeatureMap[]; error?: undefined }
  | { image: I; error: string };

/** A batch that is not full waits this long for the next picture, in ms. */
const IDLE_MS = 250;

/**
 * Reads and decodes pictures ahead of the backbone, and runs it over whole batches. In memory are at most `concurrency` pictures that
 * are being decoded or wait for the backbone, and two batches for each of its threads.
 * @param images asked for as there is room for them, so there may be any number
 * @returns in the order of the pictures
 * @throws {UsageError} if an option is out of range
 * @throws {LastlayerError} if the model cannot be loaded or run
 * @throws the signal's reason, once it aborts
 */
export async function* runOverStream<I extends ImageSource>(
  backbone: Backbone,
  images: Iterable<I> | AsyncIterable<I>,
  views: readonly View[],
  options: StreamOptions = {},
): AsyncGenerator<Computed<I>> {
  // It starts no threads until it is used.
  const own = new BackbonePool(backbone);
  // To start a thread for one picture takes longer than to classify it.
  const isSingle = Array.isArray(images) && images.length === 1;
  const pool = options.pool ?? (isSingle ? inThisThread(backbone) : own);
  const run = async (batch: readonly Decoded<I>[]): Promise<Computed<I>[]> => {
    const pixels = pixelsOf(batch);
    const rows = rowsOf(pixels.length > 0 ? await pool.run(pixels) : new Float32Array(), viewsIn(batch));
    return batch.map((picture) =>
      picture.error === undefined ? { image: picture.image, rows: picture.views.map(() => rows.shift()!) } : picture,
    );
  };
  try {
    yield* decodeAndRun(backbone, images, views, options, { run, size: pool.size });
  } finally {
    await own.close();
  }
}

/**
 * {@link runOverStream} with feature maps, in threads of its own. The views and maps of the pictures of two batches for each thread are in
 * memory as well.
 * @throws {LastlayerError} also if the backbone has no feature map
 */
export async function* mapOverStream<I extends ImageSource>(
  backbone: Backbone,
  images: Iterable<I> | AsyncIterable<I>,
  views: readonly View[],
  options: Omit<StreamOptions, 'pool'> = {},
): AsyncGenerator<Mapped<I>> {
  // It starts no threads until it is used.
  const pool = new BackbonePool(backbone, { map: true });
  const isSingle = Array.isArray(images) && images.length === 1;
  const compute = (pixels: Uint8Array<ArrayBuffer>) =>
    isSingle ? backbone.run(pixels, { map: true }) : pool.compute(pixels);
  const run = async (batch: readonly Decoded<I>[]): Promise<Mapped<I>[]> => {
    const pixels = pixelsOf(batch);
    const none: Features = { embedding: new Float32Array() };
    const { embedding, map } = pixels.length > 0 ? await compute(pixels) : none;
    const ofViews = rowsOf(embedding, viewsIn(batch));
    const mapsOfViews = rowsOf(map?.values ?? new Float32Array(), viewsIn(batch));
    const { rows = 0, columns = 0 } = map ?? {};
    return batch.map((picture) => {
      if (picture.error !== undefined) return picture;
      const maps = picture.views.map(() => ({ values: mapsOfViews.shift()!, rows, columns }));
      return { image: picture.image, rows: picture.views.map(() => ofViews.shift()!), views: picture.views, maps };
    });
  };
  try {
    yield* decodeAndRun(backbone, images, views, options, { run, size: pool.size });
  } finally {
    await pool.close();
  }
}

/** What is computed of a batch, and how many batches at the same time. */
interface Runner<I, R> {
  run: (batch: readonly Decoded<I>[]) => Promise<R[]>;
  size: number;
}

async function* decodeAndRun<I extends ImageSource, R>(
  backbone: Backbone,
  images: Iterable<I> | AsyncIterable<I>,
  views: readonly View[],
  options: Omit<StreamOptions, 'pool'>,
  { run, size }: Runner<I, R>,
): AsyncGenerator<R> {
  const { batchSize = defaultBatchSize(backbone), concurrency = DEFAULT_CONCURRENCY, signal } = options;
  checkInteger('batchSize', batchSize, { min: 1 });
  checkInteger('concurrency', concurrency, { min: 1 });

  const decode = async (image: I): Promise<Decoded<I>> => {
    try {
      return { image, views: await decodeSource(image, backbone.transform, views) };
    } catch (error) {
      if (!(error instanceof LastlayerError)) throw error;
      return { image, error: error.message };
    }
  };
  const compute = async (batch: readonly Decoded<I>[]): Promise<R[]> => {
    // After an abort, nobody waits for it.
    signal?.throwIfAborted();
    return run(batch);
  };
  // Pictures that cannot be read need no backbone, but must not pile up either.
  const isFull = (batch: readonly Decoded<I>[]) => viewsIn(batch) >= batchSize || batch.length >= 4 * batchSize;

  const batches = batchesOf(mapAhead(images, concurrency, decode), isFull, IDLE_MS);
  const computed = mapAhead(batches, 2 * size, compute);
  try {
    for (;;) {
      const next = await abortable(computed.next(), signal);
      if (next.done) return;
      for (const picture of next.value) {
        signal?.throwIfAborted();
        yield picture;
      }
    }
  } finally {
    // Not waited for: it ends only when the pictures under way do.
    computed.return(undefined).catch(() => undefined);
  }
}

function inThisThread(backbone: Backbone): BackboneRunner {
  return { size: 1, run: async (pixels) => (await backbone.run(pixels)).embedding };
}

type Decoded<I> =
  { image: I; views: DecodedImage[]; error?: undefined } | { image: I; views?: undefined; error: string };

function viewsIn(batch: readonly Decoded<unknown>[]): number {
  return batch.reduce((count, { views }) => count + (views?.length ?? 0), 0);
}

function pixelsOf(batch: readonly Decoded<unknown>[]): Uint8Array<ArrayBuffer> {
  return joinPixels(batch.flatMap((picture) => picture.views ?? []));
}
