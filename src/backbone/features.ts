import { LastlayerError } from '../errors.js';
import { graphOf, tensorNamed, truncateAt, type ModelProto } from '../onnx/index.js';
import { readNetwork } from './network.js';
import { tensorsOfOnePicture } from './one-picture.js';
import { transformOf } from './transform.js';

/** A tensor inside a network that can be taken as the embedding. */
export interface FeatureCandidate {
  tensor: string;
  /** The operator that it comes from: its kind, and its name where it has one. */
  operator: string;
  name: string;
  /** Shape of it for one picture: [width], or [channels, height, width]. */
  shape: readonly number[];
  /** Width that the embedding would have. */
  width: number;
}

/**
 * What a network, which need not end in pooling, can be cut at: all its float32 tensors [N, width], and the feature maps
 * [N, channels, height, width], in the order of the data's way. The network is run once, on one picture.
 * @param path .onnx, or a ResNet's checkpoint
 * @throws {LastlayerError} where it cannot be read or run
 */
export async function featureCandidates(path: string): Promise<FeatureCandidate[]> {
  const { network } = await readNetwork(path, path);
  const layers = graphOf(network, path).node.filter(({ opType }) => opType !== 'Constant');
  const tensors = layers.flatMap(({ output }) => output).filter((name) => name !== '');
  const found = await tensorsOfOnePicture(network, path, tensors, transformOf(network, path).crop);
  return layers.flatMap(({ opType, name, output }) =>
    output.flatMap((tensor) => {
      const { type, dims } = found.get(tensor) ?? { type: 'missing', dims: [] };
      const [rows, width = 0, ...rest] = dims;
      const fits = type === 'float32' && rows === 1 && (rest.length === 0 || rest.length === 2);
      return fits && dims.length > 1 ? [{ tensor, operator: opType, name, shape: dims.slice(1), width }] : [];
    }),
  );
}

/**
 * Cuts a network at the features of a name: see {@link truncateAt}.
 * @throws {LastlayerError} where there is nothing of that name, it is no embedding, or the network does not run
 */
export async function cutAtFeatures(network: ModelProto, path: string, name: string): Promise<ModelProto> {
  const tensor = tensorNamed(network, path, name);
  const found = await tensorsOfOnePicture(network, path, [tensor], transformOf(network, path).crop);
  const { type, dims } = found.get(tensor) ?? { type: 'missing', dims: [] };
  if (type !== 'float32')
    throw new LastlayerError(`${path}: ${tensor} is ${type} where float32 is expected.`);
  return truncateAt(network, path, tensor, dims.length);
}
