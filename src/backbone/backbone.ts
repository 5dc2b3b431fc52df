import * as ort from 'onnxruntime-node';
import { LastlayerError, messageOf } from '../errors.js';
import { transformId, type Transform } from '../images/index.js';
import { decodeModel, encodeModel, takePixels } from '../onnx/index.js';
import { int8Overflows } from './int8-overflow.js';
import type { Model } from './model.js';

/** Where the trunk runs. All but the processor need a build of onnxruntime-node that has the provider. */
export const DEVICES = ['cpu', 'cuda', 'coreml', 'dml', 'webgpu'] as const;
export type Device = (typeof DEVICES)[number];

export interface SessionOptions {
  /** Default: cpu. */
  device?: Device;
  /** Threads for the arithmetic; by default one a core. */
  threads?: number;
}

/** What the network makes of a batch. */
export interface Features {
  /** [N, width], row after row */
  embedding: Float32Array;
  /** [N, classes] of the network's own last layer, where asked for */
  logits?: Float32Array;
}

/**
 * The frozen trunk: turns pictures into embeddings. The graph is loaded when the first batch comes, so a backbone
 * whose embeddings are all cached costs nothing. Nothing here ever changes a weight.
 */
export class Backbone {
  private readonly sessions = new Map<ort.Tensor.Type, Promise<ort.InferenceSession>>();

  constructor(
    private readonly model: Model & { width: number },
    /** The file that the network came from, or its name where there is none. */
    readonly source: string,
    private readonly options: SessionOptions = {},
  ) {}

  /** Marks embeddings and heads; two backbones have the same id where their ONNX graphs are the same byte for byte. */
  get id(): string {
    return this.model.id;
  }

  /** Of the ONNX graph. */
  get sha256(): string {
    return this.model.sha256;
  }

  /** The network's name, e.g. `resnet18`. */
  get name(): string {
    return this.model.name;
  }

  /** Width of the embedding: 512 for a ResNet-18. */
  get width(): number {
    return this.model.width;
  }

  /** Whether the network computes in integers. */
  get quantized(): boolean {
    return this.model.quantized;
  }

  /** Whether the network has its last layer still, so that `run` can give logits. */
  get hasLogits(): boolean {
    return this.model.hasLogits;
  }

  /** False where the weights were never trained. */
  get pretrained(): boolean {
    return this.model.pretrained;
  }

  get transform(): Transform {
    return this.model.transform;
  }

  get transformId(): string {
    return transformId(this.model.transform);
  }

  /** The ONNX graph that runs. */
  get onnx(): Uint8Array {
    return this.model.bytes;
  }

  /**
   * Runs the network over a batch of pictures.
   * @param pictures RGB bytes [N, crop, crop, 3], as decoded; or normalised planes [N, 3, crop, crop] in float32
   * @param options.logits give the logits of the network's own last layer too
   * @throws {LastlayerError} where the graph cannot be loaded or run, or has no logits and they are asked for
   */
  async run(pictures: Uint8Array | Float32Array, options: { logits?: boolean } = {}): Promise<Features> {
    const { crop } = this.transform;
    const count = pictures.length / (3 * crop * crop);
    if (!Number.isInteger(count) || count === 0) {
      throw new LastlayerError(
        `A batch of N pictures of 3 × ${crop} × ${crop} values is expected; ${pictures.length} values make no such batch.`,
      );
    }
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
      throw new LastlayerError(`${this.source} failed on a batch of ${count}: ${messageOf(error)}.`);
    }
  }

  /** Frees the graph's memory; a later run loads it again. */
  async release(): Promise<void> {
    const sessions = [...this.sessions.values()];
    this.sessions.clear();
    for (const session of sessions) await (await session).release();
  }

  /** The session for an input of this type. */
  private open(type: ort.Tensor.Type): Promise<ort.InferenceSession> {
    let session = this.sessions.get(type);
    if (!session) {
      session = this.load(type);
      this.sessions.set(type, session);
    }
    return session;
  }

  private async load(type: ort.Tensor.Type): Promise<ort.InferenceSession> {
    const { bytes, transform } = this.model;
    const graph =
      type === 'uint8'
        ? encodeModel(takePixels(decodeModel(bytes, this.source), this.source, transform))
        : bytes;
    const widen = this.quantized && (await int8Overflows());
    return createSession(graph, this.source, { ...this.options, widen });
  }
}

/**
 * Loads a graph.
 * @param options.widen add the products of an int8 network in more bits, for processors on which they overflow; slow
 * @throws {LastlayerError} where onnxruntime refuses it or has no such device
 */
export async function createSession(
  bytes: Uint8Array,
  source: string,
  { device = 'cpu', threads, widen = false }: SessionOptions & { widen?: boolean },
): Promise<ort.InferenceSession> {
  try {
    return await ort.InferenceSession.create(bytes, {
      executionProviders: [device],
      ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
      logSeverityLevel: 3,
      extra: {
        session: {
          // Threads that wait for work by spinning take the processor from those that decode the next pictures.
          intra_op: { allow_spinning: '0' },
          // Turns int8 weights into uint8, whose products with activations are added in 32 bits everywhere.
          ...(widen ? { x64quantprecision: '1' } : {}),
        },
      },
    });
  } catch (error) {
    const hint =
      device === 'cpu'
        ? 'Is it a whole ONNX file?'
        : `Is onnxruntime-node installed with ${device}? See "GPU" in README.md.`;
    throw new LastlayerError(`onnxruntime cannot load ${source} on ${device}: ${messageOf(error)}. ${hint}`);
  }
}

function floats(tensor: ort.Tensor | undefined, name: string): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) {
    throw new LastlayerError(`its output ${name} is ${tensor?.type ?? 'missing'} where float32 is expected`);
  }
  return tensor.data;
}
