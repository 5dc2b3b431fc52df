import { type GraphProto, type ModelProto, type NodeProto, TensorProto_DataType as DataType } from 'onnx-buf';
import { LastlayerError } from '../../util/errors.js';
import { node, tensorInfo } from './build.js';
import { outputOf, producersOf, reducedAxes } from './cut.js';
import { extend, freeNames } from './edit.js';
import { graphOf } from './model.js';

/** Operators that leave the values as they are, but for rounding. */
const UNCHANGED = new Set([
  ...['Flatten', 'Reshape', 'Squeeze', 'Unsqueeze', 'Transpose', 'Identity', 'Dropout'],
  ...['Cast', 'QuantizeLinear', 'DequantizeLinear'],
]);

/**
 * Adds the feature map to a cut model's outputs: the tensor whose mean over its positions is the embedding, float32 [batch, channels,
 * rows, columns], with channels first.
 * @param path named in errors
 * @returns the model, and the name of the output
 * @throws {LastlayerError} if the embedding is no mean of a map
 */
export function exposeFeatureMap(model: ModelProto, path: string): { model: ModelProto; output: string } {
  const graph = graphOf(model, path);
  const pooling = poolingOf(graph, path);
  const [map = ''] = pooling.input;
  const freeName = freeNames(graph);
  const output = freeName('feature_map');
  const hasChannelsLast = reducedAxes(pooling, graph) === '1,2';
  const channelsFirst = hasChannelsLast ? freeName('feature_map.transposed') : map;
  const exposed = extend(model, path, {
    after: [
      ...(hasChannelsLast ? [node('Transpose', [map], [channelsFirst], { perm: [0, 3, 1, 2] })] : []),
      node('Cast', [channelsFirst], [output], { to: DataType.FLOAT }),
    ],
    outputs: [...graph.output, tensorInfo(output, ['batch', 'channels', 'rows', 'columns'])],
  });
  return { model: exposed, output };
}

/** The average pooling that makes the embedding. */
function poolingOf(graph: GraphProto, path: string): NodeProto {
  const producers = producersOf(graph);
  let operator = producers.get('embedding');
  while (operator && UNCHANGED.has(operator.opType)) operator = producers.get(operator.input[0] ?? '');
  if (operator && isAveraging(operator, graph)) return operator;
  const made = operator ? `comes from ${operator.opType} (${outputOf(operator)})` : 'is its input';
  throw noFeatureMap(path, `its embedding ${made}`);
}

/** Whether an operator takes the mean over rows and columns. If that of an AveragePool is local, its values tell. */
function isAveraging(operator: NodeProto, graph: GraphProto): boolean {
  if (operator.opType === 'ReduceMean') return ['2,3', '1,2'].includes(reducedAxes(operator, graph) ?? '');
  return operator.opType === 'GlobalAveragePool' || operator.opType === 'AveragePool';
}

/** Of a network whose embedding is not the mean of a map of features. */
export class NoFeatureMapError extends LastlayerError {
  override name = 'NoFeatureMapError';
}

/** @param reason why the embedding is not the mean of a map */
export function noFeatureMap(path: string, reason: string): NoFeatureMapError {
  return new NoFeatureMapError(
    `${path} has no feature map, so it cannot be shown where a class is seen: ${reason}, and is not the mean of a map of ` +
      'features. Networks that end in average pooling have one, such as ResNets.',
  );
}
