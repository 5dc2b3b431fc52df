import type { ModelProto, NodeProto, TensorProto } from 'onnx-buf';
import { initializer, model, node, tensorInfo } from '../formats/onnx/build.js';
import { LastlayerError } from '../util/errors.js';
import type { Checkpoint } from './checkpoint/read.js';

/**
 * Builds the ONNX model of a ResNet from a checkpoint with torchvision's tensor names. BatchNorm is folded into the
 * convolutions. Input: `input` [N, 3, H, W]. Outputs: `embedding` [N, width], the features after average pooling, and
 * `logits` [N, classes] if the checkpoint has an fc layer. The same tensors always give the same bytes.
 * @param path the checkpoint's file, named in errors
 * @param name the model's name @default that of the architecture
 * @throws {LastlayerError} if tensors are missing, have another shape, or belong to another architecture
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
  graph.nodes.push(node('Flatten', [graph.add('GlobalAveragePool', [x], 'avgpool')], ['embedding'], {}, 'flatten'));

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

/** Collects nodes and weights. Each method adds a layer and returns the name of its output. */
class GraphBuilder {
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];

  constructor(
    private readonly checkpoint: Checkpoint,
    private readonly path: string,
  ) {}

  add(opType: string, inputs: string[], name: string, attributes: Record<string, number | number[]> = {}): string {
    this.nodes.push(node(opType, inputs, [`${name}.out`], attributes, name));
    return `${name}.out`;
  }

  relu(input: string, name: string): string {
    return this.add('Relu', [input], name);
  }

  conv(input: string, conv: Convolution): string {
    const { weight, bias } = foldBatchNorm(this.checkpoint, conv, this.path);
    const [w, b] = [`${conv.name}.weight`, `${conv.name}.bias`];
    this.initializers.push(initializer(w, conv.shape, weight), initializer(b, [conv.shape[0]], bias));
    const pad = (conv.shape[2] - 1) / 2;
    return this.add('Conv', [input, w, b], conv.name, {
      kernel_shape: [conv.shape[2], conv.shape[3]],
      strides: [conv.stride, conv.stride],
      pads: [pad, pad, pad, pad],
      ...(conv.groups > 1 && { group: conv.groups }),
    });
  }

  /** Adds the checkpoint's own fc layer, if there is one, and returns its number of classes. */
  fullyConnected(width: number): number | undefined {
    const classes = this.checkpoint.get('fc.weight')?.shape[0];
    if (classes === undefined) return undefined;
    const weight = readTensor(this.checkpoint, 'fc.weight', [classes, width], this.path);
    const bias = readTensor(this.checkpoint, 'fc.bias', [classes], this.path);
    this.initializers.push(initializer('fc.weight', [classes, width], weight), initializer('fc.bias', [classes], bias));
    this.nodes.push(node('Gemm', ['embedding', 'fc.weight', 'fc.bias'], ['logits'], { transB: 1 }, 'fc'));
    return classes;
  }
}

/** PyTorch's default, which torchvision's ResNets use. */
const EPSILON = 1e-5;

/**
 * The weight and bias of a convolution with its BatchNorm folded in, computed in float64:
 * w′ = w · γ / √(σ² + ε) and b′ = β − μ · γ / √(σ² + ε) (Ioffe and Szegedy 2015, algorithm 2).
 * @throws {LastlayerError} if a tensor is missing, has another shape or is not finite
 */
function foldBatchNorm(
  checkpoint: Checkpoint,
  { name, norm, shape }: Convolution,
  path: string,
): { weight: Float32Array; bias: Float32Array } {
  const channels = shape[0];
  const weight = readTensor(checkpoint, `${name}.weight`, shape, path).slice();
  const perChannelOf = (parameter: string) => readTensor(checkpoint, `${norm}.${parameter}`, [channels], path);
  const [gamma, beta] = [perChannelOf('weight'), perChannelOf('bias')];
  const [mean, variance] = [perChannelOf('running_mean'), perChannelOf('running_var')];
  const bias = new Float32Array(channels);
  const perChannel = weight.length / channels;
  for (let c = 0; c < channels; c++) {
    const scale = gamma[c]! / Math.sqrt(variance[c]! + EPSILON);
    bias[c] = beta[c]! - mean[c]! * scale;
    for (let i = c * perChannel; i < (c + 1) * perChannel; i++) weight[i]! *= scale;
  }
  const folded = `${name} with ${norm} folded in`;
  return { weight: finite(weight, folded, path), bias: finite(bias, folded, path) };
}

/** A tensor of the checkpoint. @throws {LastlayerError} if it is missing, has another shape or is not finite */
function readTensor(checkpoint: Checkpoint, name: string, shape: readonly number[], path: string): Float32Array {
  const tensor = checkpoint.get(name);
  if (!tensor) throw new LastlayerError(`${path} has no tensor ${name}: is the checkpoint complete?`);
  if (tensor.shape.join() !== shape.join()) {
    throw new LastlayerError(
      `${path}: ${name} has the shape [${tensor.shape.join(', ')}] where [${shape.join(', ')}] is expected.`,
    );
  }
  return finite(tensor.data, name, path);
}

function finite(values: Float32Array, name: string, path: string): Float32Array {
  if (!values.every(Number.isFinite)) {
    throw new LastlayerError(`${path}: ${name} holds NaN or infinite values, so no features can be computed from it.`);
  }
  return values;
}

const INSTEAD = 'Export the model to ONNX and pass the .onnx file instead.';

/**
 * Recognises the ResNet of a checkpoint by the names and shapes of its tensors: basic or bottleneck blocks, how many, how wide
 * and in how many groups. (They do not show where the strides are, so torchvision's places are assumed.)
 * @throws {LastlayerError} if it is not a ResNet, or has tensors that such a ResNet does not have
 */
function recognizeResNet(checkpoint: Checkpoint, path: string): ResNetArchitecture {
  const [channels] = checkpoint.get('conv1.weight')?.shape ?? [];
  const [width] = checkpoint.get('layer1.0.conv1.weight')?.shape ?? [];
  if (!channels || !width) {
    const found = [...checkpoint.keys()].slice(0, 3).join(', ') || 'no tensors at all';
    throw new LastlayerError(
      `${path} is not a ResNet checkpoint with torchvision's names: it has no conv1.weight and layer1.0.conv1.weight ` +
        `(found ${found}, …). ${INSTEAD}`,
    );
  }
  const architecture = resNet({
    block: checkpoint.has('layer1.0.conv3.weight') ? 'bottleneck' : 'basic',
    blocks: [1, 2, 3, 4].map((stage) => countBlocks(checkpoint, stage)),
    channels,
    width,
    groups: groupsOf(checkpoint, width, path),
  });
  refuseUnknownTensors(checkpoint, architecture, path);
  return architecture;
}

function countBlocks(checkpoint: Checkpoint, stage: number): number {
  let blocks = 0;
  while (checkpoint.has(`layer${stage}.${blocks}.conv1.weight`)) blocks++;
  return blocks;
}

/** A grouped convolution reads only some of the channels before it. */
function groupsOf(checkpoint: Checkpoint, width: number, path: string): number {
  const [, inputs = width] = checkpoint.get('layer1.0.conv2.weight')?.shape ?? [];
  if (inputs === 0 || width % inputs !== 0) {
    throw new LastlayerError(
      `${path}: layer1.0.conv2.weight reads ${inputs} of the ${width} channels before it, which is not a whole ` +
        `number of groups. Is the checkpoint complete?`,
    );
  }
  return width / inputs;
}

/** A tensor that the graph would not use means another architecture, so the features would be wrong. */
function refuseUnknownTensors(checkpoint: Checkpoint, architecture: ResNetArchitecture, path: string): void {
  const parameters = ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'];
  const known = new Set<string>();
  for (const { name, norm } of convolutionsOf(architecture)) {
    known.add(`${name}.weight`);
    for (const parameter of parameters) known.add(`${norm}.${parameter}`);
  }
  // Whatever is under fc is the last layer, which is replaced.
  const unknown = [...checkpoint.keys()].filter((name) => !known.has(name) && !name.startsWith('fc.'));
  if (unknown.length > 0) {
    throw new LastlayerError(
      `${path} holds ${unknown.length} tensors that ${architecture.name} does not have (${unknown.slice(0, 3).join(', ')}` +
        `${unknown.length > 3 ? ', …' : ''}). ${INSTEAD}`,
    );
  }
}

/** A convolution without bias, followed by a BatchNorm. Names are torchvision's. */
interface Convolution {
  /** Name of the convolution, e.g. `layer1.0.conv1`; its tensor is `<name>.weight`. */
  name: string;
  /** Name of its BatchNorm, e.g. `layer1.0.bn1`. */
  norm: string;
  /** [output channels, input channels / groups, kernel, kernel] */
  shape: [number, number, number, number];
  stride: number;
  groups: number;
}

/** Convolutions with a shortcut around them (He et al. 2015, "Deep residual learning", figure 5). */
interface Block {
  name: string;
  /** In sequence, with a ReLU between each two. */
  convolutions: Convolution[];
  /** The 1 × 1 convolution of the shortcut, if the block changes size or width. */
  downsample?: Convolution | undefined;
}

/** What distinguishes one ResNet from another. */
export interface ResNetShape {
  /** basic: two 3 × 3 convolutions; bottleneck: 1 × 1, 3 × 3 and 1 × 1 to four times as many channels. */
  block: 'basic' | 'bottleneck';
  /** Blocks in each of the four stages. */
  blocks: readonly number[];
  /** Channels of the stem. @default 64, as in all of torchvision's */
  channels?: number | undefined;
  /** Channels of the first stage's 3 × 3 convolutions, doubled with each stage. @default those of the stem */
  width?: number | undefined;
  /** Groups of the 3 × 3 convolutions; several in a ResNeXt (Xie et al. 2016, "Aggregated residual transformations"). @default 1 */
  groups?: number | undefined;
}

/** A ResNet: a 7 × 7 stem, then four stages of blocks, each with half the size and twice the channels of the one before. */
export interface ResNetArchitecture {
  name: string;
  stem: Convolution;
  blocks: Block[];
  /** Width of the pooled features. */
  width: number;
}

/** Output channels of a bottleneck block for each channel of its stage. */
const EXPANSION = 4;

/** torchvision's ResNets (torchvision/models/resnet.py), whose stem has 64 channels. */
const NAMES: Record<string, string> = {
  'basic 2,2,2,2 1x64': 'resnet18',
  'basic 3,4,6,3 1x64': 'resnet34',
  'bottleneck 3,4,6,3 1x64': 'resnet50',
  'bottleneck 3,4,23,3 1x64': 'resnet101',
  'bottleneck 3,8,36,3 1x64': 'resnet152',
  'bottleneck 3,4,6,3 1x128': 'wide_resnet50_2',
  'bottleneck 3,4,23,3 1x128': 'wide_resnet101_2',
  'bottleneck 3,4,6,3 32x4': 'resnext50_32x4d',
  'bottleneck 3,4,23,3 32x8': 'resnext101_32x8d',
  'bottleneck 3,4,23,3 64x4': 'resnext101_64x4d',
};

/**
 * The architecture of a shape, e.g. basic blocks [2, 2, 2, 2] for ResNet-18 (He et al. 2015, table 1). A bottleneck block
 * halves the size in its 3 × 3 convolution, as torchvision's do ("ResNet v1.5").
 */
export function resNet(shape: ResNetShape): ResNetArchitecture {
  const { block, blocks: perStage, channels = 64, width = channels, groups = 1 } = shape;
  const blocks: Block[] = [];
  let from = channels;
  perStage.forEach((count, stage) => {
    for (let i = 0; i < count; i++) {
      const name = `layer${stage + 1}.${i}`;
      const stride = stage > 0 && i === 0 ? 2 : 1;
      const to = channels * 2 ** stage * (block === 'basic' ? 1 : EXPANSION);
      const inner = width * 2 ** stage;
      const convolutions =
        block === 'basic' ? basic(name, from, to, stride) : bottleneck(name, from, inner, to, stride, groups);
      const downsample =
        stride === 1 && from === to
          ? undefined
          : convolution(`${name}.downsample.0`, `${name}.downsample.1`, [to, from, 1, 1], stride);
      blocks.push({ name, convolutions, downsample });
      from = to;
    }
  });
  const known = channels === 64 && NAMES[`${block} ${perStage.join(',')} ${groups}x${width / groups}`];
  return {
    name: known || `resnet-${block}-${perStage.join('-')}`,
    stem: convolution('conv1', 'bn1', [channels, 3, 7, 7], 2),
    blocks,
    width: from,
  };
}

/** Every convolution, in the order of computation. */
export function convolutionsOf({ stem, blocks }: ResNetArchitecture): Convolution[] {
  const inBlocks = blocks.flatMap(({ convolutions, downsample }) =>
    downsample ? [...convolutions, downsample] : convolutions,
  );
  return [stem, ...inBlocks];
}

function basic(block: string, from: number, to: number, stride: number): Convolution[] {
  return [
    convolution(`${block}.conv1`, `${block}.bn1`, [to, from, 3, 3], stride),
    convolution(`${block}.conv2`, `${block}.bn2`, [to, to, 3, 3]),
  ];
}

function bottleneck(
  block: string,
  from: number,
  inner: number,
  to: number,
  stride: number,
  groups: number,
): Convolution[] {
  return [
    convolution(`${block}.conv1`, `${block}.bn1`, [inner, from, 1, 1]),
    convolution(`${block}.conv2`, `${block}.bn2`, [inner, inner / groups, 3, 3], stride, groups),
    convolution(`${block}.conv3`, `${block}.bn3`, [to, inner, 1, 1]),
  ];
}

function convolution(name: string, norm: string, shape: Convolution['shape'], stride = 1, groups = 1): Convolution {
  return { name, norm, shape, stride, groups };
}
