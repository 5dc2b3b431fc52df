import { type OutOfFold, predictOutOfFold } from '../head/cross-validate.js';
import type { Examples } from '../head/examples.js';
import { HeadGraph } from '../head/objective.js';
import { joinGroups } from '../head/split.js';
import { multilabelTask, softmaxTask, type Targets } from '../head/task.js';
import { sigmoid, softmaxInto } from '../util/math.js';
import { percent } from '../util/format.js';
import type { Finding } from './finding.js';
import type { Pictures } from './pictures.js';

/** A class has at least so many pictures that can be told apart, or nobody can learn it without the one in question. */
const LEAST_OF_CLASS = 2;

/** Of the fits: as many of 3 × 40 planted wrong labels are found as with a tenth of it, at a third of the time. */
const TOLERANCE = 1e-3;

interface LabelErrorOptions {
  /** What is one picture, see `Duplicates`; [M]. */
  sets: Int32Array;
  signal?: AbortSignal | undefined;
  /** Called before each fit. */
  onFit?: ((fits: number) => void) | undefined;
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
): Promise<{ findings: Finding[]; notice?: string | undefined }> {
  const { names, classes } = learnableClasses(rows, sets);
  if (names.length < 2) {
    return { findings: [], notice: 'Labels are not checked: fewer than two classes have two pictures each.' };
  }
  const examples: Examples = {
    task: softmaxTask,
    source,
    names,
    labelSets: names.map((_, n) => [n]),
    targets: classes,
  };
  const groups = joinGroups(
    Array.from(sets, String),
    rows.map(({ group }) => group),
  );
  const graph = await HeadGraph.create(softmaxTask);
  try {
    const predicted = await predictOutOfFold(graph, examples, {
      mask: () => true,
      groups,
      tolerance: TOLERANCE,
      signal,
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
      const detail = `${suggestedLabel} ${percent(pOther, 0)}, ${label} ${percent(pOwn, 0)}`;
      return { issue: 'label error', path: rows[row]?.path ?? '', score: 1 - pOwn, detail, suggestedLabel };
    });
    return { findings };
  } finally {
    await graph.release();
  }
}

/** Shows a visitor each judged row, the number of its own class, and the probabilities of all of them. */
type EachPrediction = (
  visit: (row: number, own: number, probabilities: Float64Array) => void,
) => Promise<void> | void;

/** A picture for which the most probable other class is more probable than its own. */
interface Suspect {
  row: number;
  own: number;
  other: number;
  pOwn: number;
  pOther: number;
  /** Whether it is confidently of another class. */
  isConfident: boolean;
}

/** Finds the suspects by confident learning. @param count of classes */
async function suspectsOf(each: EachPrediction, count: number): Promise<Suspect[]> {
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
    const [pOwn, pOther] = [probabilities[own]!, probabilities[other]!];
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
    sums[own]! += probabilities[own]!;
    counts[own]!++;
  });
  return sums.map((sum, c) => sum / Math.max(1, counts[c]!));
}

/** The most probable of the classes whose threshold is reached. */
function confidentClass(probabilities: Float64Array, thresholds: Float64Array): number | undefined {
  let best: number | undefined;
  probabilities.forEach((p, c) => {
    if (p >= thresholds[c]! && p > (best === undefined ? 0 : probabilities[best]!)) best = c;
  });
  return best;
}

function mostProbable(probabilities: Float64Array): number {
  return probabilities.reduce((best, p, c) => (p > probabilities[best]! ? c : best), 0);
}

async function eachPrediction(
  { predictions }: OutOfFold,
  count: number,
  visit: (row: number, own: number, probabilities: Float64Array) => void,
): Promise<void> {
  const probabilities = new Float64Array(count);
  for await (const { rows, targets, logits } of predictions()) {
    rows.forEach((row, i) => {
      softmaxInto(probabilities, logits, i * count, 1);
      visit(row, targets[i]!, probabilities);
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

/** So many distinct pictures have a label, and as many lack it, or nobody can learn it without the one in question. */
const LEAST = 2;

/**
 * Likely errors in lists of labels: each label by itself is a question of two answers, to which `findLabelErrors`' confident
 * learning is applied (the one-vs-rest treatment of Thyagarajan et al. 2022, "Identifying Incorrect Annotations in
 * Multi-Label Classification Data"). A picture is found once, with all of its labels that are probably missing or too many;
 * the score is 1 − the least probability of any of its answers.
 * @returns the findings, and why there can be none where there is nothing to judge by
 * @throws the signal's reason, once it aborts
 */
export async function findLabelSetErrors(
  { rows, source }: Pictures,
  { sets: sameAs, signal, onFit }: LabelErrorOptions,
): Promise<{ findings: Finding[]; notice?: string | undefined }> {
  const mask = (row: number) => rows[row]?.labels !== undefined;
  const lists = learnableLabels(rows, sameAs);
  if (!lists.some((list) => list.length > 0)) {
    return {
      findings: [],
      notice: 'Labels are not checked: none is on two pictures and lacking on two others.',
    };
  }
  const targets = multilabelTask.encode(lists, mask);
  const { names } = targets;
  const groups = joinGroups(
    Array.from(sameAs, String),
    rows.map(({ group }) => group),
  );
  const graph = await HeadGraph.create(multilabelTask);
  try {
    const predicted = await predictOutOfFold(
      graph,
      { task: multilabelTask, source, ...targets },
      {
        mask,
        groups,
        tolerance: TOLERANCE,
        signal,
        ...(onFit && {
          onFit: ({ fits }) => {
            onFit(fits);
          },
        }),
      },
    );
    if (!predicted) return { findings: [], notice: 'Labels are not checked: too few pictures differ.' };
    const answers = await answersOf(predicted, targets.labelSets, names.length);
    const ofRow = new Map<number, { label: string; suspect: Suspect }[]>();
    for (const [n, label] of names.entries()) {
      for (const suspect of await suspectsOf((visit) => {
        answers.each(n, visit);
      }, 2)) {
        ofRow.set(suspect.row, [...(ofRow.get(suspect.row) ?? []), { label, suspect }]);
      }
    }
    return { findings: [...ofRow].map(([row, found]) => findingOf(rows[row], found)) };
  } finally {
    await graph.release();
  }
}

function findingOf(
  picture: Pictures['rows'][number] | undefined,
  found: readonly { label: string; suspect: Suspect }[],
): Finding {
  const clearest = found.toSorted((a, b) => a.suspect.pOwn - b.suspect.pOwn);
  const suggested = new Set(picture?.labels);
  for (const { label, suspect } of clearest) {
    if (suspect.own === 1) suggested.delete(label);
    else suggested.add(label);
  }
  const details = clearest.map(
    ({ label, suspect: { own, pOwn, pOther } }) =>
      `${label} ${percent(own === 1 ? pOwn : pOther, 0)}, but ${own === 1 ? 'given' : 'not given'}`,
  );
  return {
    issue: 'label error',
    path: picture?.path ?? '',
    detail: details.join('; '),
    score: 1 - (clearest[0]?.suspect.pOwn ?? 1),
    suggestedLabels: [...suggested].sort(),
  };
}

/** The probabilities of all labels for all held-out rows: a label is gone through twice, so they are computed once. */
async function answersOf({ predictions }: OutOfFold, labelSets: Targets['labelSets'], count: number) {
  const blocks: { rows: Int32Array; targets: Int32Array; probabilities: Float32Array }[] = [];
  for await (const { rows, targets, logits } of predictions()) {
    blocks.push({ rows, targets, probabilities: logits.map(sigmoid) });
  }
  const members = labelSets.map((set) => new Set(set));
  return {
    /** Shows each row's answer about label n, 0 or 1, with the probabilities of both. */
    each(n: number, visit: (row: number, own: number, probabilities: Float64Array) => void): void {
      for (const { rows, targets, probabilities } of blocks) {
        rows.forEach((row, i) => {
          const p = probabilities[i * count + n]!;
          visit(row, members[targets[i]!]?.has(n) ? 1 : 0, Float64Array.of(1 - p, p));
        });
      }
    },
  };
}

/** The lists without labels that too few pictures have, or lack. */
function learnableLabels(rows: Pictures['rows'], sameAs: Int32Array): (readonly string[])[] {
  const having = new Map<string, Set<number>>();
  const all = new Set<number>();
  rows.forEach(({ labels }, row) => {
    if (!labels) return;
    const picture = sameAs[row] ?? row;
    all.add(picture);
    for (const label of labels) having.set(label, (having.get(label) ?? new Set()).add(picture));
  });
  const isLearnable = (label: string) => {
    const size = having.get(label)?.size ?? 0;
    return size >= LEAST && all.size - size >= LEAST;
  };
  return rows.map(({ labels = [] }) => labels.filter(isLearnable));
}
