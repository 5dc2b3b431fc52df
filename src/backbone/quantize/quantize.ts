import { dirname, join, parse, resolve } from 'node:path';
import type { ModelProto } from 'onnx-buf';
import type { DatasetEntry } from '../../data/dataset.js';
import { decodeModel, graphOf, opsetOf } from '../../formats/onnx/model.js';
import { asCalled, LastlayerError, UsageError } from '../../util/errors.js';
import { fileExists } from '../../util/files.js';
import { Backbone } from '../backbone.js';
import { BUNDLED_PATH, loadBackbone } from '../load.js';
import { type ModelCard, readCard, writeModel } from '../model-card.js';
import { describeModel } from '../model.js';
import type { SessionOptions } from '../session.js';
import { calibrate, type CalibrationOptions } from './calibration.js';
import { integerActivations, isIntegerOperator, quantizeGraph } from './graph.js';

/** The first opset whose DequantizeLinear takes a scale for each channel. */
const LEAST_OPSET = 13;

export interface QuantizeOptions extends CalibrationOptions {
  /** Where to write the model. @default beside the float32 one: `resnet18.int8.onnx` beside `resnet18.onnx` */
  out?: string | undefined;
  /** How to run the new backbone. */
  session?: SessionOptions | undefined;
}

export interface QuantizedBackbone {
  backbone: Backbone;
  /** The model file. */
  path: string;
  card: ModelCard;
  /** The pictures that the ranges of the activations were measured on. */
  calibratedOn: DatasetEntry[];
}

/**
 * Turns a float32 backbone into one that computes in integers (static quantisation): measures the activations on pictures of a
 * data set, and writes a model whose convolutions, additions and maximum pooling use uint8 activations and int8 weights. It has
 * an id and a card of its own; its embeddings are close to the float32 ones but never mix with them. On one machine, the same
 * pictures give the same bytes.
 * @param dataset folder or manifest; see {@link calibrate} for which pictures are used
 * @throws {LastlayerError} if the data set or the model cannot be used, or the new model cannot be written
 * @throws {UsageError} if an option is out of range
 * @throws the signal's reason, once it aborts; nothing is written then
 */
export async function quantizeBackbone(
  backbone: Backbone,
  dataset: string,
  options: QuantizeOptions = {},
): Promise<QuantizedBackbone> {
  const { source, name, width } = backbone;
  const path = outputPath(source, options.out);
  const float32 = decodeModel(backbone.onnx, source);
  if (backbone.quantized) {
    throw new LastlayerError(
      `${source} computes in integers already. Name the float32 model that it was made from` +
        (source === BUNDLED_PATH ? ', or get one with `npm run fetch-model`.' : '.'),
    );
  }
  refuseUnsuitable(float32, source);
  const names = [...integerActivations(graphOf(float32, source)).keys()];
  const { activations, calibratedOn } = await calibrate(backbone, names, dataset, options);
  options.signal?.throwIfAborted();
  const int8 = quantizeGraph(float32, source, activations, `${name}.int8`);
  const model = { ...describeModel(int8, path), width };
  const card = await write(path, model, backbone, `${calibratedOn.length} pictures of ${resolve(dataset)}`);
  return { backbone: new Backbone(model, path, options.session), path, card, calibratedOn };
}

function outputPath(source: string, out = int8Path(source)): string {
  const path = resolve(out);
  if (!path.endsWith('.onnx')) {
    throw new UsageError(`--out is ${path}; a name that ends in .onnx is expected.`);
  }
  if (path === resolve(source)) {
    throw new UsageError(`--out is ${path}, the float32 model itself; another name is expected.`);
  }
  return path;
}

/** The default place of the int8 model: beside the float32 one. */
function int8Path(source: string): string {
  return join(dirname(resolve(source)), `${parse(source).name}.int8.onnx`);
}

function refuseUnsuitable(model: ModelProto, source: string): void {
  if (opsetOf(model) < LEAST_OPSET) {
    throw new LastlayerError(
      `${source} uses version ${opsetOf(model)} of ONNX's operators, which cannot scale int8 weights by channel. ` +
        `Export the model for opset ${LEAST_OPSET} or later.`,
    );
  }
  const graph = graphOf(model, source);
  if (!graph.node.some((each) => each.opType === 'Conv' && isIntegerOperator(each, graph))) {
    throw new LastlayerError(
      `${source} has no convolution with constant float32 weights, so there is nothing to gain from integers. If it is in half ` +
        'precision, export it again in float32.',
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
      features: original?.features ?? undefined,
    },
  );
}

export interface SpeedOptions {
  /** Pictures in a batch. @default 8, so that runs are short and some are undisturbed by other programs */
  batchSize?: number | undefined;
  /** Runs of each backbone. @default 8 */
  rounds?: number | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * How many times as fast one backbone is as another, on made-up pictures. The two take turns, and the best time of each counts,
 * as it was disturbed the least by other programs.
 * @throws {LastlayerError} if one does not run
 * @throws the signal's reason, once it aborts
 */
export async function speedRatio(
  fast: Backbone,
  slow: Backbone,
  { batchSize = 8, rounds = 8, signal }: SpeedOptions = {},
): Promise<number> {
  const { crop } = fast.transform;
  const pixels = Uint8Array.from({ length: batchSize * 3 * crop * crop }, (_, i) => 128 + 100 * Math.sin(0.37 * i));
  const timed = async (backbone: Backbone) => {
    signal?.throwIfAborted();
    const started = performance.now();
    await backbone.run(pixels);
    return performance.now() - started;
  };
  // Not counted: the first run loads the model.
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
 * The int8 version of a float32 backbone: the model beside it, if it was made from this very one, else a new one, which is
 * written there. Where int8 is slower than float32 on this machine, the float32 backbone itself.
 * @param dataset folder or manifest to calibrate a new model on
 * @param options.onNotice receives a line when a model is made, or float32 is kept
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
  const ratio = await speedRatio(int8, float32, { signal });
  if (ratio >= 1) {
    await float32.release();
    return int8;
  }
  onNotice?.(
    `int8 is slower than float32 here (${ratio.toFixed(2)} times its speed), so float32 is used: ${float32.id}.`,
  );
  await int8.release();
  return float32;
}

/** The int8 model beside a float32 one, if it was made from that one. */
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
  options.onNotice?.(`There is no int8 model of ${id} at ${int8Path(source)}. Making one, calibrated on ${dataset}.`);
  const { backbone, card } = await quantizeBackbone(float32, dataset, options);
  options.onNotice?.(asCalled(`Made ${card.id}. \`npm run quantize\` shows how close it is to ${id}.`));
  return backbone;
}
