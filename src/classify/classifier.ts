import pLimit from 'p-limit';
import type { Backbone } from '../backbone/backbone.js';
import { type BackboneOptions, loadBackbone } from '../backbone/load.js';
import { loadHead } from '../head/file.js';
import type { Head, Prediction } from '../head/head.js';
import type { Typicality, UnknownRate } from '../head/unknown.js';
import { joinPixels } from '../image/decode.js';
import { checkViewSets, augmentedViews, type View, type ViewSet } from '../image/views.js';
import { DEFAULT_TOP_K } from '../util/defaults.js';
import { LastlayerError } from '../util/errors.js';
import { softmax } from '../util/math.js';
import { decodeSource, type ImageSource } from './image-source.js';
import { runOverStream, type StreamOptions } from './stream.js';

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

/** A backbone and a head: tells what is in a picture. */
export class Classifier {
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
   * @throws {LastlayerError} if either cannot be read, or they do not belong together
   */
  static async load(
    headPath: string,
    { views, unknown, ...options }: BackboneOptions & ClassifierOptions = {},
  ): Promise<Classifier> {
    const head = await loadHead(headPath);
    const backbone = await loadBackbone({ ...options, model: options.model ?? head.modelId, neededBy: headPath });
    checkBackbone(head, backbone, headPath);
    return new Classifier(backbone, head, { views, unknown });
  }

  /**
   * The most probable classes of a picture, best first.
   * @param options.topK how many. @default 3
   * @throws {LastlayerError} if the picture cannot be read
   */
  async predict(image: ImageSource, options: { topK?: number | undefined } = {}): Promise<Prediction[]> {
    return (await this.classify(image, options)).predictions;
  }

  /**
   * Like {@link predict}, and says how typical the picture is and whether it is unlike the training pictures, see
   * `Head.typicality`, or which labels it has, see `Head.labelsOf`.
   * @throws {LastlayerError} if the picture cannot be read
   */
  async classify(image: ImageSource, options: { topK?: number | undefined } = {}): Promise<Classification> {
    const { backbone, views } = this;
    const { embedding: ofViews } = await backbone.run(await pixelsOf(backbone, [image], views));
    const embedding = meanEmbedding(
      views.map((_, v) => ofViews.subarray(v * backbone.width, (v + 1) * backbone.width)),
    );
    return classificationOf(this.head, embedding, options.topK);
  }

  /**
   * Like {@link classify} for many pictures, at the rate of `embedDataset`: they are decoded ahead and go through the backbone's
   * threads in batches. A picture that cannot be read gets an error in place of predictions.
   * @param images any number of them: they are asked for as there is room
   * @param options.topK how many classes. @default 3
   * @returns in the order of the pictures
   * @throws {UsageError} if an option is out of range
   * @throws {LastlayerError} if the model cannot be loaded or run
   * @throws the signal's reason, once it aborts
   */
  async *classifyMany<I extends ImageSource>(
    images: Iterable<I> | AsyncIterable<I>,
    { topK, ...options }: StreamOptions & { topK?: number | undefined } = {},
  ): AsyncGenerator<Classified<I>> {
    for await (const picture of runOverStream(this.backbone, images, this.views, options)) {
      const { image, error } = picture;
      if (error !== undefined) yield { image, error };
      else yield { image, ...classificationOf(this.head, meanEmbedding(picture.rows), topK) };
    }
  }
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
    );
  }
  throw new LastlayerError(
    `${name} was trained on embeddings of ${head.modelId}, but the network in use is ${backbone.id} ` +
      `(${backbone.source}). Leave --model out to use the head's own network, or train the head anew.`,
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
