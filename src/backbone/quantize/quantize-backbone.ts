import { dirname, join, parse, resolve } from 'node:path';
import { LastlayerError, UsageError } from '../../errors.js';
import type { DatasetEntry } from '../../images/index.js';
import { decodeModel, graphOf, opsetOf, type ModelProto } from '../../onnx/index.js';
import { Backbone } from '../backbone.js';
import { BUNDLED_PATH } from '../bundled.js';
import { readCard, writeModel, type ModelCard } from '../model-card.js';
import { toModel } from '../model.js';
import { calibrate, type CalibrationOptions } from './calibration.js';
import { integerValues } from './integer-values.js';
import { quantizeGraph } from './quantize-graph.js';
import type { SessionOptions } from '../session.js';

/** The first operator set whose DequantizeLinear takes a scale for each channel. */
const LEAST_OPSET = 13;

export interface QuantizeOptions extends CalibrationOptions {
  /** Where to write the model. Default: beside the float32 one, `resnet18.int8.onnx` beside `resnet18.onnx`. */
  out?: string;
  /** How the new backbone is to run. */
  session?: SessionOptions;
}

export interface QuantizedBackbone {
  backbone: Backbone;
  /** Of the model that was written. */
  path: string;
  card: ModelCard;
  /** The pictures that the activations' ranges were taken from. */
  calibratedOn: DatasetEntry[];
}

/**
 * Makes a trunk that computes in integers from one in float32 (static quantisation): sees which values the activations
 * take on pictures of a data set, and writes a model whose convolutions, additions and maximum pooling are on uint8
 * activations and int8 weights. It is a model of its own, with its own id and card; its embeddings are close to the
 * others' but never mix with them. The same pictures give the same bytes on one machine.
 * @param dataset folder or manifest; see {@link calibrate} for which pictures are used
 * @throws {LastlayerError} where the data set or the model cannot be used, or the new one cannot be written
 * @throws {UsageError} where an option is out of range
 * @throws the signal's reason, once it aborts; nothing is written then
 */
export async function quantizeBackbone(
  backbone: Backbone,
  dataset: string,
  options: QuantizeOptions = {},
): Promise<QuantizedBackbone> {
  const { source, name, width } = backbone;
  const path = outputPath(source, options.out);
  const network = decodeModel(backbone.onnx, source);
  if (backbone.quantized) {
    throw new LastlayerError(
      `${source} computes in integers already. Name the float32 model that it was made from` +
        (source === BUNDLED_PATH ? ', or get one by `npm run fetch-model`.' : '.'),
    );
  }
  refuseUnsuitable(network, source);
  const names = [...integerValues(graphOf(network, source)).keys()];
  const { activations, calibratedOn } = await calibrate(backbone, names, dataset, options);
  options.signal?.throwIfAborted();
  const graph = quantizeGraph(network, source, activations, `${name}.int8`);
  const model = { ...toModel(graph, path, false), width };
  const card = await write(path, model, backbone, `${calibratedOn.length} pictures of ${resolve(dataset)}`);
  return { backbone: new Backbone(model, path, options.session), path, card, calibratedOn };
}

/** Where the int8 model of a float32 one is expected: beside it, named after it. */
export function int8Path(source: string): string {
  return join(dirname(resolve(source)), `${parse(source).name}.int8.onnx`);
}

function outputPath(source: string, out = int8Path(source)): string {
  const path = resolve(out);
  if (!path.endsWith('.onnx'))
    throw new UsageError(`--out is ${path}; a name that ends in .onnx is expected.`);
  if (path === resolve(source)) {
    throw new UsageError(`--out is ${path}, the float32 model itself; another name is expected.`);
  }
  return path;
}

function refuseUnsuitable(network: ModelProto, source: string): void {
  if (opsetOf(network) < LEAST_OPSET) {
    throw new LastlayerError(
      `${source} is written for version ${opsetOf(network)} of ONNX's operators, which has no int8 weights by channel. ` +
        `Export the network for opset ${LEAST_OPSET} or later.`,
    );
  }
  if (integerValues(graphOf(network, source)).size === 0) {
    throw new LastlayerError(
      `${source} has no convolution with constant weights, so nothing of it can be computed in integers.`,
    );
  }
}

async function write(
  path: string,
  model: Parameters<typeof writeModel>[1],
  { id, source, sha256 }: Backbone,
  calibration: string,
): Promise<ModelCard> {
  const original = await readCard(source);
  return writeModel(
    path,
    { ...model, classes: model.classes ?? original?.classes ?? undefined },
    {
      source: `int8 of ${id} (${source}), calibrated on ${calibration}: ranges up to the 99.999th percentile`,
      sourceSha256: sha256,
      licence: original?.licence ?? 'unknown: see the source',
      ...(original?.features && { features: original.features }),
    },
  );
}
