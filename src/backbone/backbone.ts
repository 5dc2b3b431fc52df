import type { ModelProto } from 'onnx-buf';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { exposeFeatureMap, noFeatureMap } from '../formats/onnx/feature-map.js';
import { takePixels } from '../formats/onnx/images.js';
import { decodeModel, encodeForRuntime } from '../formats/onnx/model.js';
import { type Transform, transformId } from '../image/transform.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import { ort } from '../util/onnxruntime.js';
import type { Model } from './model.js';
import { createSession, int8Overflows, runError, type SessionOptions } from './session.js';

/** What a backbone computes for a batch. */
export interface Features {
  /** [N, width], row after row */
  embedding: Float32Array;
  /** [N, classes] of the model's own last layer, if requested */
  logits?: Float32Array | undefined;
  /** Of which the embedding is the mean, if requested. */
  map?: FeatureMap | undefined;
}

/** The features at each position of a picture, before they are pooled. */
export interface FeatureMap {
  /** [N, width, rows, columns], which is [N, 512, 7, 7] for a ResNet-18 and pictures of 224 × 224 pixels */
  values: Float32Array;
  rows: number;
  columns: number;
}

/** Which outputs are computed besides the embedding. */
export interface RunOptions {
  /** Logits of the model's own last layer. @default false */
  logits?: boolean | undefined;
  /** The feature map. The first time, this loads the graph once more. @default false */
  map?: boolean | undefined;
}

/**
 * The frozen backbone: turns pictures into embeddings. The graph is loaded when the first batch comes, so a backbone whose
 * embeddings are all cached costs nothing.
 */
export class Backbone {
  private readonly sessions = new Map<string, Promise<InferenceSession>>();

  constructor(
    private readonly model: Model & { width: number },
    /** The model file. */
    readonly source: string,
    readonly options: SessionOptions = {},
  ) {}

  /** Identifies the backbone in embeddings and heads. Equal if and only if the ONNX graphs are equal, byte for byte. */
  get id(): string {
    return this.model.id;
  }

  /** Of the ONNX graph. */
  get sha256(): string {
    return this.model.sha256;
  }

  /** The model's name, e.g. `resnet18`. */
  get name(): string {
    return this.model.name;
  }

  /** Width of the embedding: 512 for a ResNet-18. */
  get width(): number {
    return this.model.width;
  }

  /** Whether it computes in integers. */
  get quantized(): boolean {
    return this.model.quantized;
  }

  /** Whether the model still has its own last layer, so that `run` can return logits. */
  get hasLogits(): boolean {
    return this.model.hasLogits;
  }

  /** False if the weights were never trained. */
  get pretrained(): boolean {
    return this.model.pretrained;
  }

  get transform(): Transform {
    return this.model.transform;
  }

  get transformId(): string {
    return transformId(this.model.transform);
  }

  /** The ONNX model. */
  get onnx(): Uint8Array {
    return this.model.bytes;
  }

  /**
   * Computes the embeddings of a batch of pictures.
   * @param pictures RGB bytes [N, crop, crop, 3], as decoded; or normalised planes [N, 3, crop, crop] in float32
   * @throws {LastlayerError} if the graph cannot be loaded or run, or has no logits or no feature map to return
   */
  async run(pictures: Uint8Array | Float32Array, { logits = false, map = false }: RunOptions = {}): Promise<Features> {
    const { crop } = this.transform;
    const count = picturesIn(pictures, crop);
    if (logits && !this.hasLogits) {
      throw new LastlayerError(`${this.source} has no last layer of its own, so it gives no logits.`);
    }
    const tensor =
      pictures instanceof Float32Array
        ? new ort.Tensor('float32', pictures, [count, 3, crop, crop])
        : new ort.Tensor('uint8', pictures, [count, crop, crop, 3]);
    const session = await this.open(tensor.type, map);
    const mapOutput = session.outputNames.at(-1) ?? '';
    const wanted = ['embedding', ...(logits ? ['logits'] : []), ...(map ? [mapOutput] : [])];
    let outputs: InferenceSession.OnnxValueMapType;
    try {
      outputs = await session.run({ [session.inputNames[0] ?? 'input']: tensor }, wanted);
    } catch (error) {
      throw runError(this.source, `a batch of ${count}`, messageOf(error));
    }
    const found = (name: string) => outputs[name];
    const embedding = floats(found('embedding'), 'embedding', this.source);
    return {
      embedding,
      ...(logits && { logits: floats(found('logits'), 'logits', this.source) }),
      ...(map && { map: this.mapOf(found(mapOutput), embedding) }),
    };
  }

  /** The ONNX model with RGB bytes [N, crop, crop, 3] as its input, which it normalises itself. */
  pixelGraph(): Uint8Array<ArrayBuffer> {
    const { bytes, transform } = this.model;
    return encodeForRuntime(takePixels(decodeModel(bytes, this.source), this.source, transform));
  }

  /**
   * As {@link pixelGraph}, with the feature map [N, width, rows, columns] as the last output.
   * @throws {LastlayerError} if the embedding is not the mean of a map
   */
  mapGraph(): Uint8Array<ArrayBuffer> {
    return encodeForRuntime(takePixels(this.withMap(), this.source, this.transform));
  }

  /**
   * The feature map in an output of {@link mapGraph}.
   * @param embedding of the same pictures; the mean of the map
   * @throws {LastlayerError} if it is not, as where the last pooling is local
   */
  mapOf(output: { data: unknown; dims: readonly number[] } | undefined, embedding: Float32Array): FeatureMap {
    const values = floats(output, 'feature map', this.source);
    const [, , rows = 0, columns = 0] = output?.dims ?? [];
    checkMean(values, rows * columns, embedding, this.source);
    return { values, rows, columns };
  }

  private withMap(): ModelProto {
    return exposeFeatureMap(decodeModel(this.model.bytes, this.source), this.source).model;
  }

  /** Whether the products of integers must be added in more bits than this processor does by default. */
  async needsWidening(): Promise<boolean> {
    return this.quantized && (await int8Overflows());
  }

  /** Frees the graph's memory; a later run loads it again. */
  async release(): Promise<void> {
    const sessions = [...this.sessions.values()];
    this.sessions.clear();
    for (const session of await Promise.allSettled(sessions)) {
      if (session.status === 'fulfilled') await session.value.release();
    }
  }

  private open(type: Tensor.Type, map: boolean): Promise<InferenceSession> {
    const key = `${type}${map ? ' with map' : ''}`;
    const known = this.sessions.get(key);
    if (known) return known;
    const session = this.load(type, map);
    this.sessions.set(key, session);
    session.catch(() => {
      // A later run tries anew.
      if (this.sessions.get(key) === session) this.sessions.delete(key);
    });
    return session;
  }

  private async load(type: Tensor.Type, map: boolean): Promise<InferenceSession> {
    const settings = { ...this.options, widen: await this.needsWidening() };
    return createSession(this.graphFor(type, map), this.source, settings);
  }

  private graphFor(type: Tensor.Type, map: boolean): Uint8Array {
    if (type === 'uint8') return map ? this.mapGraph() : this.pixelGraph();
    return map ? encodeForRuntime(this.withMap()) : this.model.bytes;
  }
}

/** How many pictures a batch holds. @throws {LastlayerError} if that is not a whole number of at least 1 */
export function picturesIn({ length }: ArrayLike<number>, crop: number): number {
  const count = length / (3 * crop * crop);
  if (Number.isInteger(count) && count > 0) return count;
  throw new LastlayerError(
    `A batch of N pictures of 3 × ${crop} × ${crop} values is expected; ${length} values are not such a batch.`,
  );
}

/** @throws {LastlayerError} if an output is missing, or of another type than float32 */
function floats(tensor: { data: unknown } | undefined, name: string, source: string): Float32Array {
  if (tensor?.data instanceof Float32Array) return tensor.data;
  throw new LastlayerError(`${source} gives no ${name} in float32. Export it again with opset 17.`);
}

/** How far a map's mean may be from the embedding, by the largest value: half precision and int8 round between the two. */
const ROUNDING = 0.01;

function checkMean(map: Float32Array, positions: number, embedding: Float32Array, source: string): void {
  const largest = embedding.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const isMean =
    map.length === embedding.length * positions &&
    embedding.every((value, i) => {
      let total = 0;
      for (let at = i * positions; at < (i + 1) * positions; at++) total += map[at]!;
      return Math.abs(total / positions - value) <= ROUNDING * largest;
    });
  if (!isMean) throw noFeatureMap(source, 'its last pooling is local');
}
