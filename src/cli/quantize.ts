import type { Backbone } from '../backbone/backbone.js';
import { loadBackbone } from '../backbone/load.js';
import { quantizeBackbone, type QuantizedBackbone, speedRatio } from '../backbone/quantize/quantize.js';
import { type Fidelity, measureFidelity } from '../classify/fidelity.js';
import { percent, quantity } from '../util/format.js';
import { call, sayNext } from './next.js';
import { datasetOrExamples, type DestinationFlags } from './options.js';
import { interruptible, Progress } from './progress.js';
import { notice, print, printJson, say } from './terminal.js';

interface QuantizeFlags extends DestinationFlags {
  model?: string | undefined;
  calibrate?: string | undefined;
  pictures?: number | undefined;
  threads?: number | undefined;
  json?: true | undefined;
}

/** Below this mean cosine, the int8 model may lose accuracy. */
const GOOD_COSINE = 0.99;

/** Batches of the size that `embed` uses. */
const SPEED = { batchSize: 32, rounds: 5 };

export async function run({ calibrate, json, model, threads, ...flags }: QuantizeFlags): Promise<void> {
  const dataset = datasetOrExamples(calibrate, 'npm run quantize -- --calibrate FOLDER');
  const float32 = await loadBackbone({ threads, model, onNotice: notice });
  const report = await interruptible(async (signal) => {
    const quantized = await withProgress('calibrating', (onProgress) =>
      quantizeBackbone(float32, dataset, {
        ...flags,
        session: { threads },
        signal,
        onNotice: notice,
        onProgress,
      }),
    );
    const { backbone, calibratedOn } = quantized;
    const fidelity = await withProgress('comparing', (onProgress) =>
      measureFidelity(float32, backbone, dataset, { except: calibratedOn, signal, onNotice: notice, onProgress }),
    );
    return { quantized, fidelity, speed: await speedRatio(backbone, float32, { ...SPEED, signal }) };
  });
  if (json) printJson(toJson(report, float32));
  else describe(report, float32);
}

interface Report {
  quantized: QuantizedBackbone;
  fidelity: Fidelity;
  /** Times as fast as float32. */
  speed: number;
}

async function withProgress<T>(
  what: string,
  work: (onProgress: (done: number, total: number) => void) => Promise<T>,
): Promise<T> {
  const progress = new Progress(what, 'pictures');
  try {
    return await work((done, total) => {
      progress.update(done, total);
    });
  } finally {
    progress.stop();
  }
}

function describe({ quantized, fidelity, speed }: Report, float32: Backbone): void {
  const { path, card, knownAs, calibratedOn, backbone } = quantized;
  const { meanCosine, lowestCosine, pictures, heads } = fidelity;
  const megabytes = (bytes: Uint8Array) => (bytes.length / 1e6).toFixed(1);
  print(path);
  print(`  ${card.id}, made from ${float32.id}`);
  print(`  size             ${megabytes(backbone.onnx)} MB, float32 ${megabytes(float32.onnx)} MB`);
  print(`  calibrated on    ${quantity(calibratedOn.length, 'picture')}`);
  print(
    `  cosine to fp32   mean ${meanCosine.toFixed(4)}, lowest ${lowestCosine.toFixed(4)}, on ` +
      quantity(pictures, 'other picture'),
  );
  if (heads) {
    const { accuracy, agreement, validatedOn, evaluatedOn, trainedOn } = heads;
    print(
      `  head accuracy    float32 ${percent(accuracy.reference)}, int8 ${percent(accuracy.other)}; they agree on ` +
        `${percent(agreement)} (trained on ${trainedOn}, evaluated on ${evaluatedOn}: ${validatedOn})`,
    );
  }
  print(`  speed            ${speed.toFixed(1)} times float32's`);
  if (meanCosine < GOOD_COSINE) {
    say(`The mean cosine is below ${GOOD_COSINE}: float32 is the safer choice for this model.`);
  }
  if (speed < 1) say('int8 is slower than float32 on this machine, so do not use it here.');
  sayNext(`${call('embed', 'FOLDER', '--model', knownAs ?? path)} uses it.`);
}

function toJson({ quantized, fidelity, speed }: Report, float32: Backbone) {
  const { path, card, knownAs, replaced, calibratedOn } = quantized;
  return {
    path,
    knownAs,
    replaced,
    ...card,
    madeFrom: float32.id,
    calibratedOn: calibratedOn.length,
    fidelity,
    speedRatio: speed,
  };
}
