import type { ModelProto } from 'onnx-buf';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { initializer, model, node, tensorInfo } from '../formats/onnx/build.js';
import { exposeTensors } from '../formats/onnx/cut.js';
import { batchOf, encodeModel } from '../formats/onnx/model.js';
import { LastlayerError, messageOf, shortened } from '../util/errors.js';
import { ort } from '../util/onnxruntime.js';
import type { Device } from './device.js';

export interface SessionOptions {
  /** @default 'cpu' */
  device?: Device | undefined;
  /** Threads for the arithmetic. @default one per core */
  threads?: number | undefined;
}

interface Settings extends SessionOptions {
  /** Add the products of an int8 model in more bits, for processors on which they overflow. Slow. */
  widen?: boolean | undefined;
}

/** Loads an ONNX model. @throws {LastlayerError} if onnxruntime rejects it, or lacks the device */
export async function createSession(onnx: Uint8Array, source: string, settings: Settings): Promise<InferenceSession> {
  try {
    return await ort.InferenceSession.create(onnx, sessionOptions(settings));
  } catch (error) {
    throw loadError(source, settings.device, messageOf(error));
  }
}

/** The settings as onnxruntime takes them. */
export function sessionOptions({ device = 'cpu', threads, widen = false }: Settings): InferenceSession.SessionOptions {
  return {
    executionProviders: [device],
    ...(threads !== undefined && { intraOpNumThreads: threads }),
    // Nothing below fatal: what goes wrong is thrown, and said in plain words.
    logSeverityLevel: 4,
    extra: {
      session: {
        // Spinning threads would take the processor from those that decode the next pictures.
        intra_op: { allow_spinning: '0' },
        // Makes the weights uint8, whose products with activations are added in 32 bits on every processor.
        ...(widen && { x64quantprecision: '1' }),
      },
    },
  };
}

/** The error for a model that cannot be loaded. */
export function loadError(source: string, device: Device = 'cpu', reason: string): LastlayerError {
  const said = withoutSignatures(reason);
  const plain = tooNew(said) ?? unknownOperator(said);
  if (plain !== undefined) return new LastlayerError(`${source} cannot be loaded: ${plain}`, 'MODEL_UNUSABLE');
  const hint =
    device === 'cpu'
      ? 'Is the file whole? In Python, onnx.checker.check_model(path, full_check=True) says whether it is a valid model. If ' +
        'it is, export it again with opset 17.'
      : `Is onnxruntime-node installed with ${device}? See docs/performance.md#gpu.`;
  return new LastlayerError(`onnxruntime cannot load ${source} on ${device}: ${said}. ${hint}`, 'MODEL_UNUSABLE');
}

/** The error for a model that fails on pictures, e.g. on `a batch of 2`. */
export function runError(source: string, what: string, reason: string): LastlayerError {
  return new LastlayerError(
    `${source} failed on ${what}. Was it exported for batches of one size? Export it again with a dynamic batch axis ` +
      `(dynamic_axes or dynamic_shapes in torch.onnx.export). onnxruntime says: ${withoutSignatures(reason)}.`,
    'MODEL_UNUSABLE',
  );
}

/** What onnxruntime says, without the places in its own source. A network's names, which are part of it, may be overlong. */
function withoutSignatures(reason: string): string {
  return shortened(reason)
    .replace(/\/\S*onnxruntime\/core\/\S+ [^)]*\)\s*/g, '')
    .replace(/\s+/g, ' ')
    .replace(/[\s.]+$/, '');
}

/** What onnxruntime says of operators that it does not have, in plain words. */
function unknownOperator(reason: string): string | undefined {
  const [, unregistered] = /([\w.:]+)\(-?\d+\) is not a registered function\/op/.exec(reason) ?? [];
  const [, unknown = unregistered] = /No Op registered for (\S+)/.exec(reason) ?? [];
  const [, lacking] = /Could not find an implementation for (\S+) node/.exec(reason) ?? [];
  const operator = unknown ?? lacking;
  if (operator === undefined) return undefined;
  const lacks = unknown === undefined ? 'for numbers of that type' : 'of its own or of an extension';
  return (
    `it uses the operator ${operator} ${lacks}, which this onnxruntime does not have. Export it again in float32, with the ` +
    'standard operators of opset 17 alone.'
  );
}

/** What onnxruntime says of a model that is newer than itself, in plain words. */
function tooNew(reason: string): string | undefined {
  const [, ir, mostIr] = /IR version: (\d+), max supported IR version: (\d+)/.exec(reason) ?? [];
  if (ir !== undefined) {
    return (
      `it was written for ONNX IR version ${ir}; this onnxruntime reads up to ${mostIr!}. Save it with a lower one (in Python: ` +
      'model.ir_version = 10; onnx.save(model, path)), or export it again with opset 17.'
    );
  }
  const [, opset, mostOpset] = /Opset (\d+) is under development[^]*till opset (\d+)/.exec(reason) ?? [];
  if (opset === undefined) return undefined;
  return `it uses opset ${opset}; this onnxruntime reads up to ${mostOpset!}. Export it again with opset 17.`;
}

/**
 * Runs a model on one black picture, or as many as it was exported for, and returns the values of some tensors inside it.
 * @param names results of its operators; any that an operator does not compute are missing from the result
 * @param crop side of the picture
 * @throws {LastlayerError} if it does not run
 */
export async function tensorsOfOnePicture(
  model: ModelProto,
  path: string,
  names: readonly string[],
  crop: number,
): Promise<Map<string, Tensor>> {
  const session = await createSession(encodeModel(exposeTensors(model, path, names)), path, {});
  const batch = batchOf(model, path);
  const count = typeof batch === 'number' ? batch : 1;
  try {
    const picture = new ort.Tensor('float32', new Float32Array(count * 3 * crop * crop), [count, 3, crop, crop]);
    const outputs = await session.run({ [session.inputNames[0] ?? 'input']: picture }, names);
    return new Map(Object.entries(outputs));
  } catch (error) {
    throw runError(
      path,
      `${count === 1 ? 'a picture' : `${count} pictures`} of ${crop} × ${crop} pixels`,
      messageOf(error),
    );
  } finally {
    await session.release();
  }
}

/** Input channels and side of the trial convolution. */
const CHANNELS = 64;
const SIDE = 8;

/** The largest activation and the largest weight. */
const [ACTIVATION, WEIGHT] = [255, 127];

let overflows: Promise<boolean> | undefined;

/**
 * Whether sums of uint8 × int8 products come out wrong on this processor. x86 processors without VNNI add pairs of them in
 * 16 bits (vpmaddubsw), which large values overflow. onnxruntime can avoid that, but the other processors should not pay for
 * it, so a convolution of the largest values finds out, once.
 */
export function int8Overflows(): Promise<boolean> {
  return (overflows ??= tryConvolution().catch((error: unknown) => {
    overflows = undefined;
    throw error;
  }));
}

async function tryConvolution(): Promise<boolean> {
  const session = await ort.InferenceSession.create(encodeModel(trialConvolution()), { logSeverityLevel: 3 });
  try {
    const x = new Float32Array(CHANNELS * SIDE * SIDE).fill(ACTIVATION);
    const outputs = await session.run({ x: new ort.Tensor('float32', x, [1, CHANNELS, SIDE, SIDE]) });
    return (outputs.y?.data as Float32Array).some((sum) => sum !== CHANNELS * ACTIVATION * WEIGHT);
  } finally {
    await session.release();
  }
}

/** y = Σ x · 127, in integers. */
function trialConvolution(): ModelProto {
  const scalar = (name: string, value: number) => initializer(name, [], Float32Array.of(value));
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
      // The sum is this times the largest activation.
      scalar('y.scale', CHANNELS * WEIGHT),
      initializer('zero', [], Uint8Array.of(0)),
      initializer('w', [CHANNELS, CHANNELS, 1, 1], new Int8Array(CHANNELS * CHANNELS).fill(WEIGHT)),
      initializer('w.zero', [], Int8Array.of(0)),
    ],
    inputs: [tensorInfo('x', ['n', CHANNELS, SIDE, SIDE])],
    outputs: [tensorInfo('y', ['n', CHANNELS, SIDE, SIDE])],
  });
}
