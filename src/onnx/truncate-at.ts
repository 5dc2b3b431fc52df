import type { GraphProto, ModelProto, NodeProto } from 'onnx-buf';
import { LastlayerError } from '../errors.js';
import { node, tensorInfo } from './build.js';
import { cut, outputOf } from './cut.js';
import { graphOf } from './model.js';
import { producersOf } from './prune.js';

/**
 * Finds a tensor by its own name, or by that of the operator that it comes from.
 * @throws {LastlayerError} where there is none of that name
 */
export function tensorNamed(model: ModelProto, path: string, name: string): string {
  const { node: operators } = graphOf(model, path);
  if (name !== '') {
    if (operators.some(({ output }) => output.includes(name))) return name;
    const operator = operators.find((each) => each.name === name);
    if (operator) return outputOf(operator);
  }
  const last = operators.slice(-3).map(outputOf);
  throw new LastlayerError(
    `${path} has no features ${JSON.stringify(name)}: no operator gives a tensor of that name or is called so (the last ` +
      `tensors are ${last.join(', ')}). \`npm run inspect -- --model FILE --features\` lists all that can be taken.`,
  );
}

/**
 * Cuts a network at a tensor, which becomes `embedding` [batch, width]: one of two dimensions as it is, feature maps
 * [batch, channels, height, width] averaged over their positions. The number of rows in a batch is made dynamic.
 * @param tensor as {@link tensorNamed} gives it
 * @param dimensions how many the tensor has
 * @throws {LastlayerError} where it has neither two nor four dimensions, or the network has no picture as its input
 */
export function truncateAt(model: ModelProto, path: string, tensor: string, dimensions: number): ModelProto {
  if (dimensions !== 2 && dimensions !== 4) {
    throw new LastlayerError(
      `${path}: ${tensor} has ${dimensions} dimensions, so it is no embedding. Features [N, width], or feature maps ` +
        `[N, channels, height, width], which are averaged over their positions, can be taken; \`npm run inspect -- ` +
        `--model FILE --features\` lists them.`,
    );
  }
  const [renamed, features] = withoutEmbedding(graphOf(model, path), tensor);
  return cut({ ...model, graph: renamed }, path, {
    wanted: [features],
    added: dimensions === 2 ? asItIs(features) : averaged(features),
    outputs: [tensorInfo('embedding', ['batch', 'features'])],
  });
}

function asItIs(tensor: string): NodeProto[] {
  return [node('Identity', [tensor], ['embedding'], {}, 'lastlayer.features')];
}

function averaged(tensor: string): NodeProto[] {
  return [
    node('GlobalAveragePool', [tensor], ['lastlayer.pooled'], {}, 'lastlayer.pool'),
    node('Flatten', ['lastlayer.pooled'], ['embedding'], { axis: 1 }, 'lastlayer.flatten'),
  ];
}

/** A network may have a tensor `embedding` inside already, which then gets another name. */
function withoutEmbedding(graph: GraphProto, tensor: string): [GraphProto, string] {
  if (!producersOf(graph).has('embedding')) return [graph, tensor];
  const rename = (name: string) => (name === 'embedding' ? 'embedding.inner' : name);
  const nodes = graph.node.map((n) => ({
    ...n,
    input: n.input.map(rename),
    output: n.output.map(rename),
  }));
  return [{ ...graph, node: nodes }, rename(tensor)];
}
