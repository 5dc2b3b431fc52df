import type { GraphProto, ModelProto, NodeProto } from 'onnx-buf';
import { LastlayerError } from '../errors.js';
import { node, tensorInfo } from './build.js';
import { constantInts } from './constants.js';
import { cut, outputOf } from './cut.js';
import { dimensionsOf, pictureInput } from './input-output.js';
import { graphOf } from './model.js';
import { inputsOf, producersOf } from './prune.js';

/**
 * Cuts a network down to its pooled features by editing its graph: finds the global pooling that is nearest to the
 * output, keeps what leads there, and names the flattened result `embedding` [batch, width]. The number of rows in a
 * batch is made dynamic. A model that has an output `embedding` already is left as it is.
 * @param options.keepLogits keep the rest of the network too, with its first output named `logits`, unless it was
 *   exported for batches of a fixed size, with which the rest may not work on others
 * @throws {LastlayerError} where the network has no picture as its input or does not end in global pooling
 */
export function truncateAtPooling(
  model: ModelProto,
  path: string,
  options: { keepLogits: boolean },
): ModelProto {
  const graph = graphOf(model, path);
  if (graph.output.some(({ name }) => name === 'embedding')) return model;
  const input = pictureInput(graph, path);
  const pooled = globalPooling(graph, path);

  // 'features' and 'classes' only name dimensions: onnxruntime reads the real ones off the graph.
  const outputs = [tensorInfo('embedding', ['batch', 'features'])];
  const added = [node('Flatten', [outputOf(pooled)], ['embedding'], { axis: 1 }, 'lastlayer.flatten')];
  const wanted = [outputOf(pooled)];
  const original = graph.output[0];
  const [batch] = dimensionsOf(input) ?? [];
  if (options.keepLogits && typeof batch === 'string' && original && original.name !== outputOf(pooled)) {
    outputs.push(tensorInfo('logits', ['batch', 'classes']));
    added.push(node('Identity', [original.name], ['logits'], {}, 'lastlayer.logits'));
    wanted.push(original.name);
  }

  return cut(model, path, { wanted, added, outputs });
}

/** Walks back from the outputs; every way must meet the same pooling before it meets another one. */
function globalPooling(graph: GraphProto, path: string): NodeProto {
  const producers = producersOf(graph);
  const found = new Set<NodeProto>();
  const seen = new Set<string>();
  const queue = graph.output.slice(0, 1).map(({ name }) => name);
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const producer = producers.get(name);
    if (seen.has(name) || !producer) continue;
    seen.add(name);
    if (isGlobalPooling(producer, graph)) found.add(producer);
    else queue.push(...inputsOf(producer));
  }
  const [pooling] = found;
  if (!pooling || found.size > 1) {
    const last = graph.node.slice(-4).map(({ opType }) => opType);
    const what = pooling
      ? `${found.size} global poolings side by side`
      : 'no global pooling before its output';
    throw new LastlayerError(
      `${path} has ${what} (its last operators are ${last.join(', ')}). A network that ends in one global ` +
        `pooling is needed, such as a ResNet; or say which features to take: \`npm run inspect -- --model FILE ` +
        `--features\` lists them, and \`npm run fetch-model -- --from FILE --features NAME\` takes one.`,
    );
  }
  return pooling;
}

function isGlobalPooling(candidate: NodeProto, graph: GraphProto): boolean {
  if (['GlobalAveragePool', 'GlobalMaxPool', 'AveragePool'].includes(candidate.opType)) return true;
  if (candidate.opType !== 'ReduceMean' && candidate.opType !== 'ReduceMax') return false;
  const axes =
    candidate.attribute.find(({ name }) => name === 'axes')?.ints.map(Number) ??
    constantInts(candidate.input[1] ?? '', graph);
  const spatial = axes?.map((axis) => (axis < 0 ? axis + 4 : axis)).sort((a, b) => a - b);
  return spatial?.join() === '2,3';
}
