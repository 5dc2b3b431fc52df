import { fileURLToPath } from 'node:url';
import pLimit from 'p-limit';
import type { Backbone } from '../backbone/backbone.js';
import { type BackboneOptions, loadBackbone } from '../backbone/load.js';
import { passedOver } from '../data/dataset.js';
import { findPictures } from '../data/pictures.js';
import { loadHead, saveHead } from '../head/file.js';
import type { Head, Prediction } from '../head/head.js';
import { recordedEvaluation, type RecordedEvaluation } from '../head/recorded-evaluation.js';
import type { Typicality, UnknownRate } from '../head/unknown.js';
import { joinPixels } from '../image/decode.js';
import { seenRegion } from '../image/transform.js';
import { checkViewSets, augmentedViews, type View, type ViewSet } from '../image/views.js';
import { DEFAULT_TOP_K } from '../util/defaults.js';
import { LastlayerError } from '../util/errors.js';
import { abortable } from '../util/async.js';
import { rowsOf, softmax } from '../util/math.js';
import { checkExplicable, explain, type Explanation, leadingLabels, meanMap } from './explain.js';
import { decodeSource, type ImageSource, isUrl, placeOf } from './image-source.js';
import { mapOverStream, runOverStream, type StreamOptions } from './stream.js';

/** What a head predicts for a picture. */
export interface Classification extends Typicality {
  /** Best first. */
  predictions: Prediction[];
  /** For a multilabel head: the labels whose probability is at least their threshold, if any. */
  labels?: string[] | undefined;
}

/** What a head predicts for one of many pictures, or why that picture cannot be read. */
export type Classified<I extends ImageSource = ImageSource> =
  ({ image: I; error?: undefined } & Classification) | { image: I; error: string };

/** One of the classes of a picture. How typical the picture is of the training pictures, and whether it is unknown, is the same for all. */
export interface PredictedClass extends Prediction, Typicality {}

/** What {@link Classifier.predictAll} finds of a picture: its best class, and everything of {@link Classification}; or why it cannot be read. */
export type Predicted<I extends ImageSource = ImageSource> = {
  image: I;
  /** The path or URL of the picture; undefined if it was given as something else. */
  path: I extends string | URL ? string : string | undefined;
} & ((PredictedClass & Classification & { error?: undefined }) | { label?: undefined; error: string });

export interface PredictAllOptions extends StreamOptions {
  /** How many classes `predictions` holds. @default 3 */
  topK?: number | undefined;
  /** @param progress total is undefined if it is not known before the end */
  onProgress?: ((progress: { done: number; total: number | undefined }) => void) | undefined;
  /** Receives a line for the user if files were passed over, as their names do not end like a picture's. */
  onNotice?: ((line: string) => void) | undefined;
}

/** The same, with where in the picture the leading classes were seen. */
export type Explained<I extends ImageSource = ImageSource> =
  | ({ image: I; error?: undefined; explanations: Explanation[]; pixels: Uint8Array } & Classification)
  | { image: I; error: string };

const CONCURRENCY = 8;

export interface ClassifierOptions {
  /**
   * Augmented views of each picture to embed as well, each at the cost of a picture. The head gets the mean embedding of all
   * views, so the logits are the mean of the views' logits. @default none
   */
  views?: readonly ViewSet[] | undefined;
  /** Which pictures are called unknown. @default as the head was trained */
  unknown?: UnknownRate | undefined;
}

/**
 * A backbone and a head: tells what is in a picture.
 *
 * It needs no `close`, but `await using` or `close` frees the backbone's memory at once.
 */
export class Classifier implements AsyncDisposable {
  readonly views: readonly View[];
  readonly head: Head;

  /**
   * @throws {LastlayerError} if the head was trained on another backbone, or with another image transform
   * @throws {UsageError} if there are no such views, or the head takes no such rate of unknown pictures
   */
  constructor(
    readonly backbone: Backbone,
    head: Head,
    { views = [], unknown }: ClassifierOptions = {},
  ) {
    checkViewSets(views);
    this.head = unknown === undefined ? head : head.withUnknown(unknown);
    this.views = ['center', ...augmentedViews(views)];
    checkBackbone(head, backbone);
  }

  /**
   * Loads a head and its backbone: the given one, or else the one that it was trained on.
   * @param headFile that {@link save} or `train-head` wrote: a path or a `file:` URL
   * @throws {LastlayerError} if either cannot be read, or they do not belong together
   */
  static async load(headFile: string | URL, options: BackboneOptions & ClassifierOptions = {}): Promise<Classifier> {
    const { views, unknown, ...others } = options;
    const headPath = pathOf(headFile);
    const head = await loadHead(headPath);
    const backbone = await loadBackbone({ ...others, model: others.model ?? head.modelId, neededBy: headPath });
    checkBackbone(head, backbone, headPath);
    return new Classifier(backbone, head, { views, unknown });
  }

  /** The classes that it knows. */
  get labels(): readonly string[] {
    return this.head.labels;
  }

  /** How good the head was found to be in training, on pictures that it had not seen; null if that was not measured. */
  get evaluation(): RecordedEvaluation | null {
    return recordedEvaluation(this.head);
  }

  /**
   * The most probable classes of a picture, best first. Of a multilabel head, {@link classify} tells which labels reach their
   * threshold.
   * @param options.topK how many. @default 3
   * @throws {LastlayerError} if the picture cannot be read
   * @throws the signal's reason, once it aborts
   */
  async predict(
    image: ImageSource,
    options: { topK?: number | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<PredictedClass[]> {
    const { predictions, typicality, unknown } = await this.classify(image, options);
    return predictions.map((prediction) => ({ ...prediction, typicality, unknown }));
  }

  /**
   * Like {@link predict}, and says how typical the picture is and whether it is unlike the training pictures, see
   * `Head.typicality`, or which labels it has, see `Head.labelsOf`.
   * @throws {LastlayerError} if the picture cannot be read
   */
  async classify(
    image: ImageSource,
    options: { topK?: number | undefined; signal?: AbortSignal | undefined } = {},
  ): Promise<Classification> {
    const { backbone, views } = this;
    const pixels = await abortable(pixelsOf(backbone, [image], views), options.signal);
    const { embedding: ofViews } = await abortable(backbone.run(pixels), options.signal);
    const embedding = meanEmbedding(rowsOf(ofViews, views.length));
    return classificationOf(this.head, embedding, options.topK);
  }

  /**
   * Where in a picture a class was seen, exactly: the mean of the shares is the logit. With the view `flip`, the mean of both
   * views is explained, as the picture lies.
   * @throws {UsageError} if the head does not know the label, or the classifier has the views `crops`
   * @throws {LastlayerError} if the picture cannot be read, or the backbone has no feature map
   * @throws the signal's reason, once it aborts
   */
  async explain(
    image: ImageSource,
    {
      label,
      signal,
    }: {
      /** The class. @default the most probable one */
      label?: string | undefined;
      signal?: AbortSignal | undefined;
    } = {},
  ): Promise<Explanation> {
    const { backbone, head, views } = this;
    checkExplicable(views);
    signal?.throwIfAborted();
    const seen = await abortable(decodeSource(image, backbone.transform, views), signal);
    const { embedding: ofViews, map } = await abortable(backbone.run(joinPixels(seen), { map: true }), signal);
    const embedding = meanEmbedding(rowsOf(ofViews, views.length));
    const maps = rowsOf(map!.values, views.length).map((values) => ({ ...map!, values }));
    const picture = { embedding, map: meanMap(maps, views), region: seenRegion(seen[0]!, backbone.transform) };
    const [explanation] = explain(head, picture, label === undefined ? leadingLabels(head, embedding, 1) : [label]);
    return explanation!;
  }

  /**
   * Like {@link classify} for many pictures, at the rate of `embedDataset`: they are decoded ahead and go through the backbone's
   * threads in batches. A picture that cannot be read gets an error in place of predictions.
   * @param images any number of them: they are asked for as there is room
   * @returns in the order of the pictures
   * @throws {UsageError} if an option is out of range
   * @throws {LastlayerError} if the model cannot be loaded or run
   * @throws the signal's reason, once it aborts
   */
  async *classifyMany<I extends ImageSource>(
    images: Iterable<I> | AsyncIterable<I>,
    { topK, ...options }: StreamOptions & { /** How many classes. @default 3 */ topK?: number | undefined } = {},
  ): AsyncGenerator<Classified<I>> {
    for await (const picture of runOverStream(this.backbone, images, this.views, options)) {
      const { image, error } = picture;
      if (error !== undefined) yield { image, error };
      else yield { image, ...classificationOf(this.head, meanEmbedding(picture.rows), topK) };
    }
  }

  /**
   * Like {@link classifyMany}, with where in each picture the leading classes were seen, see {@link explain}.
   * @returns also the pixels of the center crop, RGB bytes [crop, crop, 3]
   * @throws as {@link classifyMany} and {@link explain} do
   */
  async *explainMany<I extends ImageSource>(
    images: Iterable<I> | AsyncIterable<I>,
    {
      topK,
      classes = 2,
      ...options
    }: Omit<StreamOptions, 'pool'> & {
      topK?: number | undefined;
      /** How many of the most probable classes to explain. @default 2 */
      classes?: number | undefined;
    } = {},
  ): AsyncGenerator<Explained<I>> {
    const { backbone, head, views } = this;
    checkExplicable(views);
    for await (const picture of mapOverStream(backbone, images, views, options)) {
      const { image, error } = picture;
      if (error !== undefined) {
        yield { image, error };
        continue;
      }
      const embedding = meanEmbedding(picture.rows);
      const [center] = picture.views;
      const region = seenRegion(center!, backbone.transform);
      const mapped = { embedding, map: meanMap(picture.maps, views), region };
      const explanations = explain(head, mapped, leadingLabels(head, embedding, classes));
      yield { image, ...classificationOf(head, embedding, topK), explanations, pixels: center!.pixels };
    }
  }

  /**
   * The best class of each of many pictures, at the rate of `embedDataset`: they are read and decoded ahead, and go through the
   * backbone's threads in batches. One that cannot be read gets an `error` and no `label`.
   * @param images a folder, at any depth; a pattern such as `photos/*.jpg`; one file; or any number of pictures, which are asked for
   *   as there is room
   * @returns in the order of the pictures; those of a folder sorted by path
   * @throws {UsageError} if an option is out of range
   * @throws {LastlayerError} if there are no pictures in the folder, or the model cannot be loaded or run
   * @throws the signal's reason, once it aborts
   */
  predictAll(images: string | URL, options?: PredictAllOptions): AsyncGenerator<Predicted<string>>;
  predictAll<I extends ImageSource>(
    images: Iterable<I> | AsyncIterable<I>,
    options?: PredictAllOptions,
  ): AsyncGenerator<Predicted<I>>;
  async *predictAll(
    images: string | URL | Iterable<ImageSource> | AsyncIterable<ImageSource>,
    { onProgress, onNotice, ...options }: PredictAllOptions = {},
  ): AsyncGenerator<Predicted> {
    const { pictures, problems } = await picturesIn(images, onNotice);
    const total = Array.isArray(pictures) ? pictures.length : undefined;
    let done = 0;
    for await (const found of this.classifyMany(pictures, options)) {
      const { image } = found;
      const path = placeOf(image)?.name;
      if (found.error === undefined) {
        const { label, probability } = found.predictions[0]!;
        yield { path, label, probability, ...found };
      } else {
        const problem = path === undefined ? undefined : problems.get(path);
        yield { image, path, error: problem === undefined ? found.error : `${path!} cannot be read: ${problem}.` };
      }
      onProgress?.({ done: ++done, total });
    }
  }

  /** Writes the head to a file, for {@link load}. @throws {LastlayerError} if it cannot be written */
  async save(path: string | URL): Promise<void> {
    await saveHead(pathOf(path), this.head);
  }

  /** Frees the backbone's memory. A later prediction loads it again. */
  async close(): Promise<void> {
    await this.backbone.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** A file's path, of a path or a `file:` URL. */
export function pathOf(file: string | URL): string {
  return typeof file === 'string' ? file : fileURLToPath(file);
}

/** What {@link Classifier.predictAll} is to go through, and why there is nothing to read under some of the paths. */
async function picturesIn(
  images: string | URL | Iterable<ImageSource> | AsyncIterable<ImageSource>,
  onNotice: ((line: string) => void) | undefined,
): Promise<{
  pictures: Iterable<ImageSource> | AsyncIterable<ImageSource>;
  problems: ReadonlyMap<string, string>;
}> {
  if (typeof images !== 'string' && !isUrl(images)) return { pictures: images, problems: new Map() };
  const { name, isFile } = placeOf(images)!;
  if (!isFile) return { pictures: [name], problems: new Map() };
  const { paths, problems, skipped } = await findPictures([name], []);
  for (const text of skipped.remarks) onNotice?.(text);
  if (skipped.count > 0) onNotice?.(passedOver(skipped));
  return { pictures: paths, problems };
}

/**
 * @param file that the head came from, named in errors
 * @throws {LastlayerError} if the head was trained on another backbone, or with another image transform
 */
export function checkBackbone(
  head: Head,
  backbone: Pick<Backbone, 'id' | 'transformId' | 'source' | 'width'>,
  file?: string,
): void {
  const name = file === undefined ? 'The head' : `${file}: The head`;
  if (head.modelId === backbone.id && head.transformId === backbone.transformId) {
    if (head.width === backbone.width) return;
    throw new LastlayerError(
      `${name} is damaged: it reads embeddings of ${head.width} numbers, and those of ${backbone.id} have ${backbone.width}. ` +
        `Train the head anew.`,
      'HEAD_DAMAGED',
    );
  }
  throw new LastlayerError(
    `${name} was trained on embeddings of ${head.modelId}, but the backbone in use is ${backbone.id} ` +
      `(${backbone.source}). Leave --model out to use the head's own backbone, or train the head anew.`,
    'HEAD_MISMATCH',
  );
}

/**
 * What a head predicts for one embedding.
 * @param embedding [width]
 * @param topK how many classes, 1 or more. @default 3
 * @throws {LastlayerError} as `Head.predict` does
 */
export function classificationOf(head: Head, embedding: Float32Array, topK?: number): Classification {
  const [predictions = []] = head.predict(embedding, topK);
  const [typical = { typicality: null, unknown: false }] = head.typicality(embedding);
  if (head.kind === 'softmax') return { predictions, ...typical };
  return { predictions, ...typical, labels: head.labelsOf(embedding)[0] ?? [] };
}

/**
 * The embeddings of a few pictures.
 * @returns [images, width]
 * @throws {LastlayerError} if a picture cannot be read; the message names it
 */
export async function embedImages(backbone: Backbone, images: readonly ImageSource[]): Promise<Float32Array> {
  const { embedding } = await backbone.run(await pixelsOf(backbone, images));
  return embedding;
}

/** The pixels of views of pictures, [images · views, crop, crop, 3]. */
async function pixelsOf(
  { transform }: Backbone,
  images: readonly ImageSource[],
  views: readonly View[] = ['center'],
): Promise<Uint8Array> {
  const limit = pLimit(CONCURRENCY);
  const decoded = images.map((image) => limit(() => decodeSource(image, transform, views)));
  return joinPixels((await Promise.all(decoded)).flat());
}

/** The mean of embeddings, [width]. A single one is returned to the bit. */
export function meanEmbedding(embeddings: readonly Float32Array[]): Float32Array {
  const [first = new Float32Array()] = embeddings;
  return first.map((_, j) => embeddings.reduce((sum, each) => sum + each[j]!, 0) / embeddings.length);
}

/**
 * What the backbone's own pretrained last layer predicts, without any head: for torchvision's ResNet-18, the 1000 classes
 * of ImageNet.
 * @param options.labels names of its classes, in order. @default their numbers
 * @param options.topK how many classes. @default 3
 * @returns the most probable classes, best first
 * @throws {LastlayerError} if the picture cannot be read, or the backbone has no pretrained last layer
 */
export async function predictPretrainedClasses(
  backbone: Backbone,
  image: ImageSource,
  options: PretrainedOptions = {},
): Promise<Prediction[]> {
  const { logits = new Float32Array() } = await backbone.run(await pixelsOf(backbone, [image]), { logits: true });
  return pretrainedClasses(logits, options);
}

interface PretrainedOptions {
  labels?: readonly string[] | undefined;
  topK?: number | undefined;
}

/** @param logits of one picture */
function pretrainedClasses(logits: Float32Array, { labels, topK = DEFAULT_TOP_K }: PretrainedOptions): Prediction[] {
  return softmax(logits)
    .map((probability, i) => ({ label: labels?.[i] ?? String(i), probability }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, topK);
}

/**
 * {@link predictPretrainedClasses} for many pictures, in batches.
 * @returns in the order of the pictures
 * @throws as {@link Classifier.classifyMany} does
 */
export async function* predictPretrainedClassesOfMany<I extends ImageSource>(
  backbone: Backbone,
  images: Iterable<I> | AsyncIterable<I>,
  { labels, topK, ...options }: StreamOptions & PretrainedOptions = {},
): AsyncGenerator<{ image: I; predictions: Prediction[]; error?: undefined } | { image: I; error: string }> {
  // The threads of a pool leave the last layer out.
  const run = async (pixels: Uint8Array) => {
    const { logits = new Float32Array() } = await backbone.run(pixels, { logits: true });
    return logits;
  };
  const pool = { size: 1, run };
  for await (const picture of runOverStream(backbone, images, ['center'], { pool, ...options })) {
    const { image, error } = picture;
    if (error !== undefined) yield { image, error };
    else yield { image, predictions: pretrainedClasses(picture.rows[0] ?? new Float32Array(), { labels, topK }) };
  }
}
