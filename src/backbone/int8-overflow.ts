import * as ort from 'onnxruntime-node';
import { encodeModel, floatTensor, integerTensor, model, node, tensorInfo } from '../onnx/index.js';

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
