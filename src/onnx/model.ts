import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema, type GraphProto, type ModelProto } from 'onnx-buf';
import { LastlayerError, messageOf } from '../errors.js';
import { externalTensor } from './external-data.js';

/** The bytes of a model, as an .onnx file holds them. The same model always gives the same bytes. */
export function encodeModel(model: ModelProto): Uint8Array {
  return toBinary(ModelProtoSchema, model);
}

/**
 * Reads an .onnx file's bytes.
 * @param path named in errors
 * @throws {LastlayerError} where the bytes are no ONNX model, or keep their weights in other files
 */
export function decodeModel(bytes: Uint8Array, path: string): ModelProto {
  const model = parse(bytes, path);
  graphOf(model, path);
  const external = externalTensor(model);
  if (external) {
    throw new LastlayerError(
      `${path} keeps the weights of ${external.name} in another file, which is not read. Save it as one file ` +
        `(onnx.save_model(model, path, save_as_external_data=False)) and try again.`,
    );
  }
  return model;
}

/** The graph of a model. @throws {LastlayerError} where there is none */
export function graphOf(model: ModelProto, path: string): GraphProto {
  if (!model.graph || model.graph.node.length === 0) {
    throw new LastlayerError(`${path} is not an ONNX model: it holds no graph.`);
  }
  return model.graph;
}

function parse(bytes: Uint8Array, path: string): ModelProto {
  try {
    return fromBinary(ModelProtoSchema, bytes);
  } catch (error) {
    throw new LastlayerError(`${path} is not an ONNX model: ${messageOf(error)}.`);
  }
}
