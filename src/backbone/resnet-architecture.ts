/** A convolution without bias, followed by a BatchNorm; names are torchvision's. */
export interface Convolution {
  /** Name of the convolution, e.g. `layer1.0.conv1`; its tensor is `<name>.weight`. */
  name: string;
  /** Name of its BatchNorm, e.g. `layer1.0.bn1`. */
  norm: string;
  /** [output channels, input channels, kernel, kernel] */
  shape: [number, number, number, number];
  stride: number;
}

/** Two 3 × 3 convolutions with a shortcut around them (He et al. 2015, "Deep residual learning", figure 5 left). */
export interface BasicBlock {
  name: string;
  conv1: Convolution;
  conv2: Convolution;
  /** The 1 × 1 convolution of the shortcut, where the block changes size or width. */
  downsample?: Convolution;
}

/** A ResNet of basic blocks: the 7 × 7 stem, then four stages of blocks, 64 to 512 channels wide. */
export interface ResNetArchitecture {
  name: string;
  stem: Convolution;
  blocks: BasicBlock[];
  /** Width of the pooled features. */
  width: number;
}

const STAGE_CHANNELS = [64, 128, 256, 512];
const NAMES: Record<string, string> = { '2,2,2,2': 'resnet18', '3,4,6,3': 'resnet34' };

/**
 * The architecture with the given number of blocks in each of the four stages, e.g. [2, 2, 2, 2] for ResNet-18
 * (He et al. 2015, table 1).
 */
export function basicResNet(blocksPerStage: readonly number[]): ResNetArchitecture {
  const blocks: BasicBlock[] = [];
  let channels = 64;
  STAGE_CHANNELS.forEach((width, stage) => {
    for (let i = 0; i < (blocksPerStage[stage] ?? 0); i++) {
      const stride = stage > 0 && i === 0 ? 2 : 1;
      blocks.push(basicBlock(`layer${stage + 1}.${i}`, channels, width, stride));
      channels = width;
    }
  });
  return {
    name: NAMES[blocksPerStage.join(',')] ?? `resnet-basic-${blocksPerStage.join('-')}`,
    stem: { name: 'conv1', norm: 'bn1', shape: [64, 3, 7, 7], stride: 2 },
    blocks,
    width: channels,
  };
}

/** Every convolution of the network, in the order of the data's way. */
export function convolutionsOf({ stem, blocks }: ResNetArchitecture): Convolution[] {
  const inBlocks = blocks.flatMap(({ conv1, conv2, downsample }) =>
    downsample ? [conv1, conv2, downsample] : [conv1, conv2],
  );
  return [stem, ...inBlocks];
}

function basicBlock(name: string, from: number, to: number, stride: number): BasicBlock {
  const conv = (i: number, channels: number, s: number): Convolution => ({
    name: `${name}.conv${i}`,
    norm: `${name}.bn${i}`,
    shape: [to, channels, 3, 3],
    stride: s,
  });
  const block: BasicBlock = { name, conv1: conv(1, from, stride), conv2: conv(2, to, 1) };
  if (stride !== 1 || from !== to) {
    const [downsample, norm] = [`${name}.downsample.0`, `${name}.downsample.1`];
    block.downsample = { name: downsample, norm, shape: [to, from, 1, 1], stride };
  }
  return block;
}
