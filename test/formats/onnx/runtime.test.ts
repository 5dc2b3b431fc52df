import { decodeModel, encodeForRuntime, encodeModel, graphOf } from '../../../src/formats/onnx/model.js';
import { smallNetwork } from '../../support/small-network.js';

test('a model for the runtime is the model, with its constants as bytes or as numbers', () => {
  const model = decodeModel(smallNetwork(), 'small.onnx');
  const { initializer } = graphOf(model, 'small.onnx');
  for (const tensor of initializer.filter(({ rawData, dataType }) => rawData.length > 0 && dataType === 1)) {
    const floatData = [...new Float32Array(new Uint8Array(tensor.rawData).buffer)];
    initializer.push({ ...tensor, name: `${tensor.name} in numbers`, rawData: new Uint8Array(), floatData });
  }
  const expected = decodeModel(encodeModel(model), 'small.onnx');
  expect(decodeModel(encodeForRuntime(model), 'small.onnx')).toEqual(expected);
});
