import type { ModelProto } from 'onnx-buf';
import * as ort from 'onnxruntime-node';
import { model, node, tensorInfo } from '../../../src/formats/onnx/build.js';
import { raiseOpset } from '../../../src/formats/onnx/edit.js';
import { encodeModel, opsetOf } from '../../../src/formats/onnx/model.js';

/** A network whose operators are written otherwise in version 18. */
function network(version: number): ModelProto {
  const made = model({
    name: 'old',
    nodes: [
      node('Split', ['x'], ['first', 'second'], { axis: 1 }),
      node('ReduceMean', ['first'], ['mean'], { axes: [2, 3], keepdims: 0 }),
      node('ReduceMax', ['second'], ['max'], { axes: [-1] }),
    ],
    initializers: [],
    inputs: [tensorInfo('x', ['n', 4, 2, 2])],
    outputs: [tensorInfo('mean', ['n', 2]), tensorInfo('max', ['n', 2, 2, 1])],
  });
  return { ...made, opsetImport: made.opsetImport.map((each) => ({ ...each, version: BigInt(version) })) };
}

async function run(network: ModelProto): Promise<Record<string, number[]>> {
  const session = await ort.InferenceSession.create(encodeModel(network));
  const x = new ort.Tensor(
    'float32',
    Float32Array.from({ length: 16 }, (_, i) => (i * 5) % 16),
    [1, 4, 2, 2],
  );
  const outputs = await session.run({ x });
  return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, [...(data as Float32Array)]]));
}

it.each([13, 17])('a network for version %d gives the same in version 18', async (version) => {
  const raised = raiseOpset(network(version), 'old.onnx');
  expect(opsetOf(raised)).toBe(18);
  expect(await run(raised)).toEqual(await run(network(version)));
});

it('a later version is kept, and one whose operators mean something else is refused', () => {
  const later = network(20);
  expect(raiseOpset(later, 'later.onnx')).toBe(later);
  expect(() => raiseOpset(network(12), 'old.onnx')).toThrow(
    /old\.onnx uses version 12 .* Export the model for opset 13 or later/,
  );
});
