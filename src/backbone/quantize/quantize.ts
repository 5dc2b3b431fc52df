import { parse, resolve } from 'node:path';
import type { ModelProto } from 'onnx-buf';
import type { DatasetEntry } from '../../data/dataset.js';
import { decodeModel, graphOf, opsetOf } from '../../formats/onnx/model.js';
import { asCalled, LastlayerError, UsageError } from '../../util/errors.js';
import { quantity } from '../../util/format.js';
import { Backbone } from '../backbone.js';
import { loadBackbone } from '../load.js';
import { readCard } from '../model-card.js';
import { describeModel, type Model } from '../model.js';
import {
  BUNDLED_PATH,
  checkDestination,
  type Destination,
  idNamed,
  placeModel,
  type StoredModel,
  storedModels,
  type WrittenModel,
} from '../models.js';
import type { SessionOptions } from '../session.js';
import { calibrate, type CalibrationOptions } from './calibration.js';
import { integerActivations, isIntegerOperator, quantizeGraph } from './graph.js';

/** The first opset whose DequantizeLinear takes a scale for each channel. */
const LEAST_OPSET = 13;

/** The model is written to the folder of models. Its name there is by default that of the float32 one with `.int8`. */
export interface QuantizeOptions extends CalibrationOptions, Omit<Destination, 'onNotice'> {
  /** How to run the new backbone. */
  session?: SessionOptions | undefined;
}

export interface QuantizedBackbone extends WrittenModel {
  backbone: Backbone;
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
  checkDestination(options);
  if (options.out !== undefined && resolve(options.out) === resolve(source)) {
    throw new UsageError(`--out is ${source}, the float32 model itself; another name is expected.`);
  }
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
  const model = { ...describeModel(int8, source), width };
  const calibration = `${quantity(calibratedOn.length, 'picture')} of ${resolve(dataset)}`;
  const written = await place(model, backbone, calibration, options);
  return { backbone: new Backbone(model, written.path, options.session), calibratedOn, ...written };
}

/** The default name of the int8 model. */
function int8Name({ id, name, source }: Backbone, models: readonly StoredModel[]): string {
  const known = models.find((each) => each.id === id && each.names.length > 0)?.names[0];
  const file = parse(source).name;
  return `${known ?? (file === id ? name : file)}.int8`;
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

async function place(
  model: Model & { width: number },
  float32: Backbone,
  calibration: string,
  options: QuantizeOptions,
): Promise<WrittenModel> {
  const { id, source, sha256 } = float32;
  const original = await readCard(source);
  return placeModel(
    { ...model, classes: model.classes ?? original?.classes ?? undefined },
    {
      source: `int8 of ${id} (${source}), calibrated on ${calibration}: ranges up to the 99.999th percentile`,
      sourceSha256: sha256,
      licence: original?.licence ?? 'unknown: see the source',
      features: original?.features ?? undefined,
    },
    options,
    int8Name(float32, await storedModels(options.modelsDir)),
  );
}

/** For --precision fp32. @throws {UsageError} if the backbone has no float32 weights */
export function requireFloat32({ quantized, id, source }: Backbone): void {
  if (!quantized) return;
  const instead =
    source === BUNDLED_PATH
      ? 'get a float32 model with `npm run fetch-model`.'
      : 'name the float32 model that it was made from with --model.';
  throw new UsageError(
    `--precision is fp32, but ${id} is an int8 model and has no other weights. Leave --precision out, or ${instead}`,
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
 * The int8 version of a float32 backbone: one in the folders of models that was made from this very one, else a new one. Where
 * int8 is slower than float32 on this machine, the float32 backbone itself.
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

/**
 * The int8 model in the folders of models that was made from a float32 one. Of several, the one that has the name is taken, or
 * else the newest.
 */
export async function existingInt8(
  float32: Backbone,
  { session, modelsDir }: Pick<QuantizeOptions, 'session' | 'modelsDir'>,
): Promise<Backbone | undefined> {
  const models = await storedModels(modelsDir);
  const made = models.flatMap(({ path, card }) =>
    card?.precision === 'int8' && card.sourceSha256 === float32.sha256 ? [{ path, ...card }] : [],
  );
  const named = await idNamed(int8Name(float32, models), modelsDir);
  const [newest] = made.sort((a, b) => b.created.localeCompare(a.created));
  const chosen = made.find(({ id }) => id === named) ?? newest;
  return chosen && loadBackbone({ ...session, model: chosen.path });
}

async function make(float32: Backbone, dataset: string, options: QuantizeOptions): Promise<Backbone> {
  const { id } = float32;
  options.onNotice?.(`There is no int8 model of ${id}. Making one, calibrated on ${dataset}.`);
  const { backbone, card } = await quantizeBackbone(float32, dataset, options);
  options.onNotice?.(asCalled(`Made ${card.id}. \`npm run quantize\` shows how close it is to ${id}.`));
  return backbone;
}
