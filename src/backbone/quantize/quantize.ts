import { dirname, join, parse, resolve } from 'node:path';
import type { ModelProto } from 'onnx-buf';
import type { DatasetEntry } from '../../data/dataset.js';
import { decodeModel, graphOf, opsetOf } from '../../formats/onnx/model.js';
import { asCalled, LastlayerError, UsageError } from '../../util/errors.js';
import { fileExists } from '../../util/files.js';
import { Backbone } from '../backbone.js';
import { BUNDLED_PATH, loadBackbone } from '../load.js';
import { type ModelCard, readCard, writeModel } from '../model-card.js';
import { toModel } from '../model.js';
import type { SessionOptions } from '../session.js';
import { calibrate, type CalibrationOptions } from './calibration.js';
import { integerValues, quantizeGraph } from './graph.js';

/** The first operator set whose DequantizeLinear takes a scale for each channel. */
const LEAST_OPSET = 13;

export interface QuantizeOptions extends CalibrationOptions {
  /** Where to write the model. Default: beside the float32 one, `resnet18.int8.onnx` beside `resnet18.onnx`. */
  out?: string | undefined;
  /** How the new backbone is to run. */
  session?: SessionOptions | undefined;
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
 * Makes a backbone that computes in integers from one in float32 (static quantisation): sees which values the activations
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
function int8Path(source: string): string {
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

export interface SpeedOptions {
  /** Pictures that go through a network together. Default: 8, for short runs, of which some will be undisturbed. */
  batchSize?: number | undefined;
  /** Runs of each network. Default: 8. */
  rounds?: number | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * How many times as fast one network is as another, on made-up pictures: the two take turns, and the best time of each
 * counts, which is the one that other programs disturbed the least.
 * @throws {LastlayerError} where one does not run
 * @throws the signal's reason, once it aborts
 */
export async function speedRatio(
  fast: Backbone,
  slow: Backbone,
  { batchSize = 8, rounds = 8, signal }: SpeedOptions = {},
): Promise<number> {
  const { crop } = fast.transform;
  const pixels = Uint8Array.from(
    { length: batchSize * 3 * crop * crop },
    (_, i) => 128 + 100 * Math.sin(0.37 * i),
  );
  const timed = async (backbone: Backbone) => {
    signal?.throwIfAborted();
    const started = performance.now();
    await backbone.run(pixels);
    return performance.now() - started;
  };
  // Not counted: the first run loads the graph.
  await timed(slow);
  await timed(fast);
  let [bestSlow, bestFast] = [Infinity, Infinity];
  for (let round = 0; round < rounds; round++) {
    bestSlow = Math.min(bestSlow, await timed(slow));
    bestFast = Math.min(bestFast, await timed(fast));
  }
  return bestSlow / bestFast;
}

/**
 * The int8 backbone of a float32 one: the model that lies beside it, if it was made from this very one, else a new one,
 * which is written there. Where int8 turns out slower than float32 on this machine, the float32 backbone itself.
 * @param dataset what to calibrate a new model on: folder or manifest
 * @param options.onNotice told that a model is made, and that float32 is kept to
 * @throws as {@link quantizeBackbone} does
 */
export async function int8Backbone(
  float32: Backbone,
  dataset: string,
  options: Omit<QuantizeOptions, 'out'> = {},
): Promise<Backbone> {
  const { onNotice, signal } = options;
  if (float32.quantized) return float32;
  const int8 = (await existingInt8(float32, options)) ?? (await make(float32, dataset, options));
  const ratio = await speedRatio(int8, float32, signal && { signal });
  if (ratio >= 1) {
    await float32.release();
    return int8;
  }
  onNotice?.(
    `int8 is slower than float32 here (${ratio.toFixed(2)} times its speed), so float32 it is: ${float32.id}.`,
  );
  await int8.release();
  return float32;
}

/** The int8 model that lies beside a float32 one and was made from it; undefined where there is none. */
export async function existingInt8(
  { source, sha256 }: Backbone,
  { session }: Pick<QuantizeOptions, 'session'>,
): Promise<Backbone | undefined> {
  const model = int8Path(source);
  const card = await readCard(model);
  if (card?.sourceSha256 !== sha256 || !(await fileExists(model))) return undefined;
  return loadBackbone({ ...session, model });
}

async function make(float32: Backbone, dataset: string, options: QuantizeOptions): Promise<Backbone> {
  const { source, id } = float32;
  options.onNotice?.(
    `There is no int8 model of ${id} at ${int8Path(source)}; making it, calibrated on ${dataset}.`,
  );
  const { backbone, card } = await quantizeBackbone(float32, dataset, options);
  options.onNotice?.(asCalled(`Made ${card.id}. \`npm run quantize\` tells how close to ${id} it is.`));
  return backbone;
}
