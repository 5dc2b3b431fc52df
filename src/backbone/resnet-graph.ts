import {
  floatTensor,
  model,
  node,
  tensorInfo,
  type ModelProto,
  type NodeProto,
  type TensorProto,
} from '../onnx/index.js';
import type { Checkpoint } from './checkpoint/index.js';
import { foldBatchNorm, readTensor } from './fold-batch-norm.js';
import { recognizeResNet } from './recognize-resnet.js';
import type { Convolution } from './resnet-architecture.js';

/**
 * Builds the ONNX graph of a ResNet from a checkpoint in torchvision's tensor names. BatchNorm is folded into the
 * convolutions. Input `input` [N, 3, H, W]; outputs `embedding` [N, width], the features after average pooling, and,
 * where the checkpoint has an fc layer, `logits` [N, classes].
 *
 * The same tensors always give the same bytes, whatever file they came in.
 * @param path the checkpoint's file, named in errors
 * @param name the model's name; by default that of the architecture
 * @throws {LastlayerError} where tensors are missing, have another shape, or belong to another architecture
 */
export function resNetGraph(checkpoint: Checkpoint, path: string, name?: string): ModelProto {
  const architecture = recognizeResNet(checkpoint, path);
  const graph = new GraphBuilder(checkpoint, path);

  let x = graph.relu(graph.conv('input', architecture.stem), 'relu');
  x = graph.add('MaxPool', [x], 'maxpool', { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] });
  for (const { name: block, convolutions, downsample } of architecture.blocks) {
    const shortcut = downsample ? graph.conv(x, downsample) : x;
    convolutions.forEach((convolution, i) => {
      if (i > 0) x = graph.relu(x, `${block}.relu${i}`);
      x = graph.conv(x, convolution);
    });
    x = graph.add('Add', [x, shortcut], `${block}.add`);
    x = graph.relu(x, `${block}.relu${convolutions.length}`);
  }
  graph.nodes.push(
    node('Flatten', [graph.add('GlobalAveragePool', [x], 'avgpool')], ['embedding'], {}, 'flatten'),
  );

  const outputs = [tensorInfo('embedding', ['batch', architecture.width])];
  const classes = graph.fullyConnected(architecture.width);
  if (classes !== undefined) outputs.push(tensorInfo('logits', ['batch', classes]));
  return model({
    name: architecture.name,
    nodes: graph.nodes,
    initializers: graph.initializers,
    inputs: [tensorInfo('input', ['batch', 3, 'height', 'width'])],
    outputs,
    metadata: { name: name ?? architecture.name },
  });
}

/** Collects nodes and weights; each method adds one layer and returns the name of its output. */
class GraphBuilder {
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];

  constructor(
    private readonly checkpoint: Checkpoint,
    private readonly path: string,
  ) {}

  add(
    opType: string,
    inputs: string[],
    name: string,
    attributes: Record<string, number | number[]> = {},
  ): string {
    this.nodes.push(node(opType, inputs, [`${name}.out`], attributes, name));
    return `${name}.out`;
  }

  relu(input: string, name: string): string {
    return this.add('Relu', [input], name);
  }

  conv(input: string, conv: Convolution): string {
    const { weight, bias } = foldBatchNorm(this.checkpoint, conv, this.path);
    const [w, b] = [`${conv.name}.weight`, `${conv.name}.bias`];
    this.initializers.push(floatTensor(w, conv.shape, weight), floatTensor(b, [conv.shape[0]], bias));
    const pad = (conv.shape[2] - 1) / 2;
    return this.add('Conv', [input, w, b], conv.name, {
      kernel_shape: [conv.shape[2], conv.shape[3]],
      strides: [conv.stride, conv.stride],
      pads: [pad, pad, pad, pad],
      ...(conv.groups > 1 && { group: conv.groups }),
    });
  }

  /** Adds the checkpoint's own fc layer, if it has one, and returns its number of classes. */
  fullyConnected(width: number): number | undefined {
    const classes = this.checkpoint.get('fc.weight')?.shape[0];
    if (classes === undefined) return undefined;
    const weight = readTensor(this.checkpoint, 'fc.weight', [classes, width], this.path);
    const bias = readTensor(this.checkpoint, 'fc.bias', [classes], this.path);
    this.initializers.push(
      floatTensor('fc.weight', [classes, width], weight),
      floatTensor('fc.bias', [classes], bias),
    );
    this.nodes.push(node('Gemm', ['embedding', 'fc.weight', 'fc.bias'], ['logits'], { transB: 1 }, 'fc'));
    return classes;
  }
}
