import {
  joinGroups,
  predictOutOfFold,
  softmaxInto,
  SoftmaxGraph,
  type Examples,
  type OutOfFold,
} from '../head/index.js';
import type { Finding } from './finding.js';
import type { Pictures } from './pictures.js';

/** A class has at least so many pictures that can be told apart, or nobody can learn it without the one in question. */
const LEAST_OF_CLASS = 2;

export interface LabelErrorOptions {
  /** What is one picture, see `Duplicates`; [M]. */
  sets: Int32Array;
  signal?: AbortSignal;
  /** Called before each fit. */
  onFit?: (fits: number) => void;
}

/**
 * Likely label errors by confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty
 * in Dataset Labels", section 3.1): each picture is predicted by a head that has not seen it; the threshold of a class is the
 * mean probability of the class over the pictures that bear its label; and a picture is suspect where the most probable of
 * the classes whose thresholds it reaches is another than its own. The score is 1 − p(own label).
 * @returns the findings, and why there can be none where there is nothing to judge by
 * @throws the signal's reason, once it aborts
 */
export async function findLabelErrors(
  { rows, source }: Pictures,
  { sets, signal, onFit }: LabelErrorOptions,
): Promise<{ findings: Finding[]; notice?: string }> {
  const { names, classes } = learnableClasses(rows, sets);
  if (names.length < 2) {
    return { findings: [], notice: 'Labels are not checked: fewer than two classes have two pictures each.' };
  }
  const examples: Examples = { source, names, classes };
  const groups = joinGroups(
    Array.from(sets, String),
    rows.map(({ group }) => group),
  );
  const graph = await SoftmaxGraph.create();
  try {
    const predicted = await predictOutOfFold(graph, examples, {
      ...{ part: () => true, groups },
      ...(signal && { signal }),
      ...(onFit && {
        onFit: ({ fits }) => {
          onFit(fits);
        },
      }),
    });
    if (!predicted) return { findings: [], notice: 'Labels are not checked: too few pictures differ.' };
    const thresholds = await classThresholds(predicted, names.length);
    const findings: Finding[] = [];
    await eachPrediction(predicted, names.length, (row, own, probabilities) => {
      const other = confidentClass(probabilities, thresholds);
      if (other === undefined || other === own) return;
      const [p, suggestedLabel = ''] = [probabilities[own] ?? 0, names[other]];
      const detail = `${suggestedLabel} ${percent(probabilities[other])}, ${names[own] ?? ''} ${percent(p)}`;
      findings.push({
        issue: 'label error',
        path: rows[row]?.path ?? '',
        score: 1 - p,
        detail,
        suggestedLabel,
      });
    });
    return { findings };
  } finally {
    await graph.release();
  }
}

/** The mean probability of each class over the pictures that bear its label. */
async function classThresholds(predicted: OutOfFold, count: number): Promise<Float64Array> {
  const [sums, counts] = [new Float64Array(count), new Float64Array(count)];
  await eachPrediction(predicted, count, (_, own, probabilities) => {
    sums[own] = (sums[own] ?? 0) + (probabilities[own] ?? 0);
    counts[own] = (counts[own] ?? 0) + 1;
  });
  return sums.map((sum, c) => sum / Math.max(1, counts[c] ?? 0));
}

/** The most probable of the classes whose threshold is reached. */
function confidentClass(probabilities: Float64Array, thresholds: Float64Array): number | undefined {
  let best: number | undefined;
  probabilities.forEach((p, c) => {
    if (p >= (thresholds[c] ?? 1) && p > (best === undefined ? 0 : (probabilities[best] ?? 0))) best = c;
  });
  return best;
}

async function eachPrediction(
  { predictions }: OutOfFold,
  count: number,
  visit: (row: number, own: number, probabilities: Float64Array) => void,
): Promise<void> {
  const probabilities = new Float64Array(count);
  for await (const { rows, classes, logits } of predictions()) {
    rows.forEach((row, i) => {
      softmaxInto(probabilities, logits, i * count, 1);
      visit(row, classes[i] ?? 0, probabilities);
    });
  }
}

function learnableClasses(
  rows: Pictures['rows'],
  sets: Int32Array,
): { names: string[]; classes: Int32Array } {
  const distinct = new Map<string, Set<number>>();
  rows.forEach(({ label }, row) => {
    if (label === undefined) return;
    const found = distinct.get(label) ?? new Set();
    distinct.set(label, found.add(sets[row] ?? row));
  });
  const names = [...distinct]
    .flatMap(([label, found]) => (found.size >= LEAST_OF_CLASS ? [label] : []))
    .sort();
  const numbers = new Map(names.map((name, n) => [name, n]));
  return { names, classes: Int32Array.from(rows, ({ label }) => numbers.get(label ?? '') ?? -1) };
}

function percent(share: number | undefined): string {
  return `${(100 * (share ?? 0)).toFixed(0)} %`;
}
