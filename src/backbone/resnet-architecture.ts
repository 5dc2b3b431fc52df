/** A convolution without bias, followed by a BatchNorm; names are torchvision's. */
export interface Convolution {
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
export interface Block {
  name: string;
  /** In a row, with a ReLU between each two. */
  convolutions: Convolution[];
  /** The 1 × 1 convolution of the shortcut, where the block changes size or width. */
  downsample?: Convolution;
}

/** What tells one ResNet from another. */
export interface ResNetShape {
  /** basic: two 3 × 3 convolutions; bottleneck: 1 × 1, 3 × 3 and 1 × 1 to four times as many channels. */
  block: 'basic' | 'bottleneck';
  /** Blocks in each of the four stages. */
  blocks: readonly number[];
  /** Channels of the stem; 64 in all of torchvision's. */
  channels?: number;
  /** Channels of the first stage's 3 × 3 convolutions, doubled with each stage. Default: those of the stem. */
  width?: number;
  /** Groups of the 3 × 3 convolutions: more than one in a ResNeXt (Xie et al. 2016, "Aggregated residual transformations"). */
  groups?: number;
}

/** A ResNet: the 7 × 7 stem, then four stages of blocks, each stage of half the size and twice the channels. */
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
 * The architecture of a shape, e.g. basic blocks [2, 2, 2, 2] for ResNet-18 (He et al. 2015, table 1). A bottleneck
 * block that halves the size does so in its 3 × 3 convolution, as torchvision's do ("ResNet v1.5").
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
      const downsample = convolution(
        `${name}.downsample.0`,
        `${name}.downsample.1`,
        [to, from, 1, 1],
        stride,
      );
      blocks.push({ name, convolutions, ...((stride !== 1 || from !== to) && { downsample }) });
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

/** Every convolution of the network, in the order of the data's way. */
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

function convolution(
  name: string,
  norm: string,
  shape: Convolution['shape'],
  stride = 1,
  groups = 1,
): Convolution {
  return { name, norm, shape, stride, groups };
}
