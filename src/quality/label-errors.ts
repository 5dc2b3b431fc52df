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

/** Of the fits: as many of 3 × 40 planted wrong labels are found as with a tenth of it, at a third of the time. */
export const TOLERANCE = 1e-3;

export interface LabelErrorOptions {
  /** What is one picture, see `Duplicates`; [M]. */
  sets: Int32Array;
  signal?: AbortSignal;
  /** Called before each fit. */
  onFit?: (fits: number) => void;
}

/**
 * Likely label errors by confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty
 * in Dataset Labels", sections 3.1 and 3.2): each picture is predicted by a head that has not seen it, a picture is
 * confidently of a class where its probability reaches the mean one of the pictures that bear its label. Found are those that
 * are confidently of another class than their label and, of each label, as many as these stand for, those whose own label is
 * the least probable ("prune by class"). The score is 1 − p(own label).
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
      ...{ part: () => true, groups, tolerance: TOLERANCE },
      ...(signal && { signal }),
      ...(onFit && {
        onFit: ({ fits }) => {
          onFit(fits);
        },
      }),
    });
    if (!predicted) return { findings: [], notice: 'Labels are not checked: too few pictures differ.' };
    const suspects = await suspectsOf(
      (visit) => eachPrediction(predicted, names.length, visit),
      names.length,
    );
    const findings = suspects.map(({ row, own, other, pOwn, pOther }): Finding => {
      const [label = '', suggestedLabel = ''] = [names[own], names[other]];
      const detail = `${suggestedLabel} ${percent(pOther)}, ${label} ${percent(pOwn)}`;
      return { issue: 'label error', path: rows[row]?.path ?? '', score: 1 - pOwn, detail, suggestedLabel };
    });
    return { findings };
  } finally {
    await graph.release();
  }
}

/** Shows a visitor each judged row, the number of its own class, and the probabilities of all of them. */
export type EachPrediction = (
  visit: (row: number, own: number, probabilities: Float64Array) => void,
) => Promise<void> | void;

/** A picture for which the most probable other class is more probable than its own. */
export interface Suspect {
  row: number;
  own: number;
  other: number;
  pOwn: number;
  pOther: number;
  /** Whether it is confidently of another class. */
  isConfident: boolean;
}

/** Finds the suspects by confident learning. @param count of classes */
export async function suspectsOf(each: EachPrediction, count: number): Promise<Suspect[]> {
  const thresholds = await classThresholds(each, count);
  const ofLabel = Array.from({ length: count }, () => ({
    total: 0,
    /** Of those, the ones that are confidently of any class, and of another than the label. */
    confident: 0,
    confidentlyOther: 0,
    suspects: [] as Suspect[],
  }));
  await each((row, own, probabilities) => {
    const label = ofLabel[own];
    if (!label) return;
    label.total++;
    const confident = confidentClass(probabilities, thresholds);
    if (confident !== undefined) label.confident++;
    const isConfident = confident !== undefined && confident !== own;
    if (isConfident) label.confidentlyOther++;
    const other = mostProbable(probabilities);
    const [pOwn, pOther] = [probabilities[own] ?? 0, probabilities[other] ?? 0];
    if (pOther > pOwn) label.suspects.push({ row, own, other, pOwn, pOther, isConfident });
  });
  return ofLabel.flatMap(({ total, confident, confidentlyOther, suspects }) => {
    // The confident pictures stand for all of their label.
    const likely = confident > 0 ? (confidentlyOther / confident) * total : 0;
    return suspects
      .sort((a, b) => a.pOwn - b.pOwn)
      .filter(({ isConfident }, i) => isConfident || i < Math.round(likely));
  });
}

/** The mean probability of each class over the pictures that bear its label. */
async function classThresholds(each: EachPrediction, count: number): Promise<Float64Array> {
  const [sums, counts] = [new Float64Array(count), new Float64Array(count)];
  await each((_, own, probabilities) => {
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

function mostProbable(probabilities: Float64Array): number {
  return probabilities.reduce((best, p, c) => (p > (probabilities[best] ?? 0) ? c : best), 0);
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

export function percent(share: number | undefined): string {
  return `${(100 * (share ?? 0)).toFixed(0)} %`;
}
