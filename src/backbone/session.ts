import type { ModelProto } from 'onnx-buf';
import * as ort from 'onnxruntime-node';
import { floatTensor, integerTensor, model, node, tensorInfo } from '../formats/onnx/build.js';
import { expose } from '../formats/onnx/cut.js';
import { encodeModel } from '../formats/onnx/model.js';
import { LastlayerError, messageOf } from '../util/errors.js';

/** Where the backbone runs. All but the processor need a build of onnxruntime-node that has the provider. */
export const DEVICES = ['cpu', 'cuda', 'coreml', 'dml', 'webgpu'] as const;
export type Device = (typeof DEVICES)[number];

export interface SessionOptions {
  /** Default: cpu. */
  device?: Device | undefined;
  /** Threads for the arithmetic; by default one a core. */
  threads?: number | undefined;
}

/** `widen`: add the products of an int8 network in more bits, for processors on which they overflow; slow. */
type Settings = SessionOptions & { widen?: boolean | undefined };

/**
 * Loads a graph.
 * @throws {LastlayerError} where onnxruntime refuses it or has no such device
 */
export async function createSession(
  graph: Uint8Array,
  source: string,
  settings: Settings,
): Promise<ort.InferenceSession> {
  try {
    return await ort.InferenceSession.create(graph, sessionOptions(settings));
  } catch (error) {
    throw loadError(source, settings.device, messageOf(error));
  }
}

/** The settings as onnxruntime takes them. */
export function sessionOptions({
  device = 'cpu',
  threads,
  widen = false,
}: Settings): ort.InferenceSession.SessionOptions {
  return {
    executionProviders: [device],
    ...(threads !== undefined && { intraOpNumThreads: threads }),
    logSeverityLevel: 3,
    extra: {
      session: {
        // Threads that wait for work by spinning take the processor from those that decode the next pictures.
        intra_op: { allow_spinning: '0' },
        // Turns int8 weights into uint8, whose products with activations are added in 32 bits everywhere.
        ...(widen ? { x64quantprecision: '1' } : {}),
      },
    },
  };
}

/** Says that a graph cannot be loaded, and what may help. */
export function loadError(source: string, device: Device = 'cpu', reason: string): LastlayerError {
  const hint =
    device === 'cpu'
      ? 'Is it a whole ONNX file?'
      : `Is onnxruntime-node installed with ${device}? See docs/performance.md#gpu.`;
  return new LastlayerError(`onnxruntime cannot load ${source} on ${device}: ${reason}. ${hint}`);
}

/**
 * What a network makes of one black picture at the named tensors inside it.
 * @param names results of its operators; those that an operator leaves out are left out here
 * @param crop side of the picture
 * @throws {LastlayerError} where it does not run
 */
export async function tensorsOfOnePicture(
  network: ModelProto,
  path: string,
  names: readonly string[],
  crop: number,
): Promise<Map<string, ort.Tensor>> {
  const session = await createSession(encodeModel(expose(network, path, names)), path, {});
  try {
    const picture = new ort.Tensor('float32', new Float32Array(3 * crop * crop), [1, 3, crop, crop]);
    const outputs = await session.run({ [session.inputNames[0] ?? 'input']: picture }, names);
    return new Map(Object.entries(outputs));
  } catch (error) {
    throw new LastlayerError(`${path} failed on a picture: ${messageOf(error)}.`);
  } finally {
    await session.release();
  }
}

/** Input channels and side of the trial convolution. */
const CHANNELS = 64;
const SIDE = 8;

/** The largest uint8 and the largest weight. */
const [ACTIVATION, WEIGHT] = [255, 127];

let found: Promise<boolean> | undefined;

/**
 * Whether sums of uint8 × int8 products come out wrong on this processor. x86 processors without VNNI add pairs of them
 * in 16 bits (vpmaddubsw), which large values overflow; onnxruntime can avoid it, but at a price that the others need not
 * pay. A convolution of the largest values shows it; it is run once.
 */
export function int8Overflows(): Promise<boolean> {
  return (found ??= tryConvolution());
}

async function tryConvolution(): Promise<boolean> {
  const session = await ort.InferenceSession.create(encodeModel(trial()), { logSeverityLevel: 3 });
  try {
    const x = new Float32Array(CHANNELS * SIDE * SIDE).fill(ACTIVATION);
    const outputs = await session.run({ x: new ort.Tensor('float32', x, [1, CHANNELS, SIDE, SIDE]) });
    return (outputs.y?.data as Float32Array).some((sum) => sum !== CHANNELS * ACTIVATION * WEIGHT);
  } finally {
    await session.release();
  }
}

/** y = Σ x · 127, in integers. */
function trial() {
  const scalar = (name: string, value: number) => floatTensor(name, [], Float32Array.of(value));
  return model({
    name: 'trial',
    nodes: [
      node('QuantizeLinear', ['x', 'one', 'zero'], ['qx']),
      node('QLinearConv', ['qx', 'one', 'zero', 'w', 'one', 'w.zero', 'y.scale', 'zero'], ['qy'], {
        kernel_shape: [1, 1],
      }),
      node('DequantizeLinear', ['qy', 'y.scale', 'zero'], ['y']),
    ],
    initializers: [
      scalar('one', 1),
      // The sum is this times the largest uint8.
      scalar('y.scale', CHANNELS * WEIGHT),
      integerTensor('zero', [], Uint8Array.of(0)),
      integerTensor('w', [CHANNELS, CHANNELS, 1, 1], new Int8Array(CHANNELS * CHANNELS).fill(WEIGHT)),
      integerTensor('w.zero', [], Int8Array.of(0)),
    ],
    inputs: [tensorInfo('x', ['n', CHANNELS, SIDE, SIDE])],
    outputs: [tensorInfo('y', ['n', CHANNELS, SIDE, SIDE])],
  });
}
