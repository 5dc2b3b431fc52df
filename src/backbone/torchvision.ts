/** The generation of weights: V1 by the original recipe, V2 by torchvision's newer one. */
export const WEIGHTS = ['IMAGENET1K_V1', 'IMAGENET1K_V2'] as const;
export type WeightsName = (typeof WEIGHTS)[number];

/** One of torchvision's pretrained ResNets. */
export interface TorchvisionWeights {
  model: string;
  weights: WeightsName;
  /** Name of the checkpoint, which ends in the first digits of its sha256. */
  file: string;
  /** Shorter side that its own transform resizes to, before the crop of 224. */
  resize: number;
}

/** Licence of torchvision and of its weights (github.com/pytorch/vision, LICENSE). */
export const TORCHVISION_LICENCE = 'BSD-3-Clause (torchvision)';

/** File names and transforms: torchvision/models/resnet.py, the classes ResNet18_Weights to Wide_ResNet101_2_Weights. */
const CHECKPOINTS: readonly TorchvisionWeights[] = [
  v1('resnet18', 'f37072fd'),
  v1('resnet34', 'b627a593'),
  v1('resnet50', '0676ba61'),
  v2('resnet50', '11ad3fa6'),
  v1('resnet101', '63fe2227'),
  v2('resnet101', 'cd907fc2'),
  v1('resnet152', '394f9c45'),
  v2('resnet152', 'f82ba261'),
  v1('wide_resnet50_2', '95faca4d'),
  v2('wide_resnet50_2', '9ba9bcbe'),
  v1('wide_resnet101_2', '32ee1156'),
  v2('wide_resnet101_2', 'd733dc28'),
  v1('resnext50_32x4d', '7cdf4587'),
  v2('resnext50_32x4d', '1a0047aa'),
  v1('resnext101_32x8d', '8ba56ff5'),
  v2('resnext101_32x8d', '110c445d'),
  // Its first weights are by the newer recipe.
  { ...v1('resnext101_64x4d', '173b62eb'), resize: 232 },
];

/** Names of the models, resnet18 first. */
export const TORCHVISION_MODELS: readonly string[] = [...new Set(CHECKPOINTS.map(({ model }) => model))];

/** The checkpoint of a model; undefined if torchvision has none of that name. */
export function torchvisionWeights(model: string, weights: WeightsName): TorchvisionWeights | undefined {
  return CHECKPOINTS.find((each) => each.model === model && each.weights === weights);
}

/** Which of torchvision's checkpoints a file is, by its sha256; undefined if it is none of them. */
export function torchvisionWeightsOf(sha256: string): TorchvisionWeights | undefined {
  return CHECKPOINTS.find(({ file }) => file.endsWith(`-${sha256.slice(0, 8)}.pth`));
}

/** Where torchvision keeps a checkpoint. */
export function torchvisionUrl({ file }: TorchvisionWeights): string {
  return `https://download.pytorch.org/models/${file}`;
}

function v1(model: string, digest: string): TorchvisionWeights {
  return { model, weights: 'IMAGENET1K_V1', file: `${model}-${digest}.pth`, resize: 256 };
}

function v2(model: string, digest: string): TorchvisionWeights {
  return { model, weights: 'IMAGENET1K_V2', file: `${model}-${digest}.pth`, resize: 232 };
}
