import * as ort from 'onnxruntime-node';
import { takePixels } from '../formats/onnx/images.js';
import { decodeModel, encodeModel } from '../formats/onnx/model.js';
import { type Transform, transformId } from '../image/transform.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import type { Model } from './model.js';
import { createSession, int8Overflows, runError, type SessionOptions } from './session.js';

/** What a backbone computes for a batch. */
export interface Features {
  /** [N, width], row after row */
  embedding: Float32Array;
  /** [N, classes] of the model's own last layer, if requested */
  logits?: Float32Array | undefined;
}

/**
 * The frozen backbone: turns pictures into embeddings. The graph is loaded when the first batch comes, so a backbone whose
 * embeddings are all cached costs nothing.
 */
export class Backbone {
  private readonly sessions = new Map<ort.Tensor.Type, Promise<ort.InferenceSession>>();

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
   * @param options.logits return the logits of the model's own last layer too
   * @throws {LastlayerError} if the graph cannot be loaded or run, or has no logits to return
   */
  async run(pictures: Uint8Array | Float32Array, options: { logits?: boolean | undefined } = {}): Promise<Features> {
    const { crop } = this.transform;
    const count = picturesIn(pictures, crop);
    if (options.logits && !this.hasLogits) {
      throw new LastlayerError(`${this.source} has no last layer of its own, so it gives no logits.`);
    }
    const tensor =
      pictures instanceof Float32Array
        ? new ort.Tensor('float32', pictures, [count, 3, crop, crop])
        : new ort.Tensor('uint8', pictures, [count, crop, crop, 3]);
    const session = await this.open(tensor.type);
    const wanted = options.logits ? ['embedding', 'logits'] : ['embedding'];
    try {
      const outputs = await session.run({ [session.inputNames[0] ?? 'input']: tensor }, wanted);
      const embedding = floats(outputs.embedding, 'embedding');
      return options.logits ? { embedding, logits: floats(outputs.logits, 'logits') } : { embedding };
    } catch (error) {
      throw runError(this.source, `a batch of ${count}`, messageOf(error));
    }
  }

  /** The ONNX model with RGB bytes [N, crop, crop, 3] as its input, which it normalises itself. */
  pixelGraph(): Uint8Array {
    const { bytes, transform } = this.model;
    return encodeModel(takePixels(decodeModel(bytes, this.source), this.source, transform));
  }

  /** Whether the products of integers must be added in more bits than this processor does by default. */
  async needsWidening(): Promise<boolean> {
    return this.quantized && (await int8Overflows());
  }

  /** Frees the graph's memory; a later run loads it again. */
  async release(): Promise<void> {
    const sessions = [...this.sessions.values()];
    this.sessions.clear();
    for (const session of sessions) await (await session).release();
  }

  private open(type: ort.Tensor.Type): Promise<ort.InferenceSession> {
    let session = this.sessions.get(type);
    if (!session) {
      session = this.load(type);
      this.sessions.set(type, session);
    }
    return session;
  }

  private async load(type: ort.Tensor.Type): Promise<ort.InferenceSession> {
    const graph = type === 'uint8' ? this.pixelGraph() : this.model.bytes;
    return createSession(graph, this.source, { ...this.options, widen: await this.needsWidening() });
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

function floats(tensor: ort.Tensor | undefined, name: string): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) {
    throw new LastlayerError(`its output ${name} is ${tensor?.type ?? 'missing'} where float32 is expected`);
  }
  return tensor.data;
}
