import {
  TensorProto_DataType as DataType,
  type GraphProto,
  type ModelProto,
  type ValueInfoProto,
} from 'onnx-buf';
import { LastlayerError } from '../errors.js';
import { graphOf } from './model.js';

/**
 * The height and width that a network's picture input prescribes; a dynamic one is as the other, and undefined where both are.
 * @throws {LastlayerError} as {@link pictureInput} does
 */
export function inputSize(model: ModelProto, path: string): { height: number; width: number } | undefined {
  const dimensions = dimensionsOf(pictureInput(graphOf(model, path), path)) ?? [];
  const [height, width] = dimensions.slice(2).map((side) => (typeof side === 'number' ? side : undefined));
  const [one, other] = [height ?? width, width ?? height];
  return one === undefined || other === undefined ? undefined : { height: one, width: other };
}

/** The width of an output [N, width]; undefined where there is no such output, or its width is not declared. */
export function outputWidth(model: ModelProto, output: string): number | undefined {
  const info = model.graph?.output.find(({ name }) => name === output);
  const width = info && dimensionsOf(info)?.[1];
  return typeof width === 'number' ? width : undefined;
}

/**
 * The one input that is a picture: float32 [N, 3, H, W].
 * @throws {LastlayerError} where there is none, or more inputs than it
 */
export function pictureInput(graph: GraphProto, path: string): ValueInfoProto {
  const constants = new Set(graph.initializer.map(({ name }) => name));
  const inputs = graph.input.filter(({ name }) => !constants.has(name));
  const [input] = inputs;
  if (!input || inputs.length > 1) {
    const names = inputs.map(({ name }) => name).join(', ');
    throw new LastlayerError(
      `${path} takes ${inputs.length} inputs (${names}) where one picture is expected.`,
    );
  }
  const shape = dimensionsOf(input);
  const type = input.type?.value.case === 'tensorType' ? input.type.value.value.elemType : undefined;
  const channels = shape?.[1];
  if (type !== DataType.FLOAT || shape?.length !== 4 || (typeof channels === 'number' && channels !== 3)) {
    throw new LastlayerError(
      `${path}: its input ${input.name} is ${DataType[type ?? 0] ?? 'unknown'} [${shape?.join(', ') ?? 'no shape'}] where ` +
        `float32 [N, 3, height, width] is expected. Export the network with such an input.`,
    );
  }
  return input;
}

/** A tensor's dimensions, dynamic ones by their name; undefined where none are declared. */
export function dimensionsOf(info: ValueInfoProto): (number | string)[] | undefined {
  if (info.type?.value.case !== 'tensorType') return undefined;
  return info.type.value.value.shape?.dim.map(({ value }) =>
    value.case === 'dimValue' ? Number(value.value) : (value.value ?? '?'),
  );
}
