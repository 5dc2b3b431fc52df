import { judgeLogits } from './judge.js';
import { Evaluation, type EvaluationResult } from './metrics.js';
import { argmax } from './softmax.js';
import { fitTemperature, type LogitBlock } from './temperature.js';
import { chooseUnknown, type UnknownRule } from './unknown.js';

/** Logits that the temperature is fitted to, at most: 64 MiB. Of more, evenly many rows are passed over. */
const MOST_LOGITS = 2 ** 24;

export interface CalibratedHeldOut {
  /** T */
  temperature: number;
  /** Null where nothing is classified rightly. */
  unknown: UnknownRule | null;
  /** With softmax(z / T). */
  evaluation: EvaluationResult;
  /** With softmax(z). */
  uncalibrated: { logLoss: number | null; ece: number | null };
}

/**
 * Finds, and judges, temperature and threshold on rows whose heads have not seen them. Both are fitted to the rows that
 * they are judged on here, but they are two numbers against all rows, so the figures are hardly too good.
 * @param heldOut goes through the rows; called twice
 * @param rows how many they are
 * @param similarities of each row to the nearest class mean, see `heldOutSimilarities`; [M]
 * @param labels the classes' names; [N]
 */
export async function calibrate(
  heldOut: () => AsyncIterable<LogitBlock & { rows: Int32Array }>,
  rows: number,
  similarities: Float64Array,
  labels: readonly string[],
): Promise<CalibratedHeldOut> {
  const count = labels.length;
  const temperature = fitTemperature(await sample(heldOut(), rows, count), count);
  const [after, before] = [new Evaluation(labels), new Evaluation(labels)];
  const [similarity, isRight] = [new Float64Array(rows), new Uint8Array(rows)];
  let filled = 0;
  for await (const block of heldOut()) {
    judgeLogits(block, count, temperature, after);
    judgeLogits(block, count, 1, before);
    block.classes.forEach((c, i) => {
      similarity[filled] = similarities[block.rows[i] ?? 0] ?? NaN;
      isRight[filled++] = argmax(block.logits, i * count, count) === c ? 1 : 0;
    });
  }
  const { logLoss, calibration } = before.result();
  return {
    temperature,
    unknown: chooseUnknown(similarity, isRight),
    evaluation: after.result(),
    uncalibrated: { logLoss, ece: calibration.ece },
  };
}

async function sample(blocks: AsyncIterable<LogitBlock>, rows: number, count: number): Promise<LogitBlock[]> {
  const step = Math.ceil((rows * count) / MOST_LOGITS);
  const kept: LogitBlock[] = [];
  let seen = 0;
  for await (const { logits, classes, weights } of blocks) {
    const chosen = Int32Array.from(classes, (_, i) => i).filter((i) => (seen + i) % step === 0);
    seen += classes.length;
    const some = new Float32Array(chosen.length * count);
    chosen.forEach((i, at) => {
      some.set(logits.subarray(i * count, (i + 1) * count), at * count);
    });
    kept.push({
      logits: some,
      classes: chosen.map((i) => classes[i] ?? 0),
      ...(weights && { weights: Float32Array.from(chosen, (i) => weights[i] ?? 1) }),
    });
  }
  return kept;
}
