import { predictOutOfFold, type OutOfFold } from '../head/cross-validate.js';
import { HeadGraph } from '../head/objective.js';
import { joinGroups } from '../head/split.js';
import { LEAST_PICTURES, multilabelTask, softmaxTask, type RowMask, type Targets, type Task } from '../head/task.js';
import type { DatasetEmbeddings, StoredPicture } from '../store/dataset-rows.js';
import { percent } from '../util/format.js';
import { argmax, sigmoid } from '../util/math.js';
import type { Finding } from './finding.js';

/** Of the fits: finds as many of 3 × 40 planted wrong labels as a tenth of it, in a third of the time. */
const TOLERANCE = 1e-3;

interface LabelErrorOptions {
  /** Which rows are one picture, see `Duplicates`; [M]. */
  sets: Int32Array;
  /** λ of the heads. @default chosen by cross-validation */
  l2?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called before each fit. */
  onFit?: ((fits: number) => void) | undefined;
}

/**
 * Likely label errors by confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty
 * in Dataset Labels", sections 3.1 and 3.2). Each picture is predicted by a head that has not seen it. It is confidently of
 * a class if its probability reaches the mean probability of the pictures with that label. Found are the pictures that are
 * confidently of another class than their label and, of each label, as many as these stand for, those whose own label is the
 * least probable ("prune by class"). The score is 1 − p(own label).
 *
 * With lists of labels, each label is a question of its own with two answers (the one-vs-rest treatment of Thyagarajan et
 * al. 2022, "Identifying Incorrect Annotations in Multi-Label Classification Data"). A picture is found once, with all of
 * its labels that are probably missing or too many; the score is 1 − the least probability of any of its answers.
 * @returns the findings, the λ that they are by, and why there can be none if there is too little to go by
 * @throws the signal's reason, once it aborts
 */
export async function findLabelErrors(
  { rows, source }: Pick<DatasetEmbeddings, 'rows' | 'source'>,
  { sets, l2, signal, onFit }: LabelErrorOptions,
): Promise<{ findings: Finding[]; l2?: number | undefined; notice?: string | undefined }> {
  const task: Task = rows.some(({ labels }) => labels) ? multilabelTask : softmaxTask;
  const lists = learnableLabels(rows, sets, task);
  const labelled: RowMask = (row) => (task.hasClasses ? lists[row]!.length > 0 : rows[row]!.labels !== undefined);
  if (new Set(lists.flat()).size < (task.hasClasses ? 2 : 1)) {
    const notice = task.hasClasses
      ? 'Labels are not checked: fewer than two classes have two pictures each.'
      : 'Labels are not checked: no label is on two pictures and missing from two others.';
    return { findings: [], notice };
  }
  const groups = joinGroups(
    Array.from(sets, String),
    rows.map(({ group }) => group),
  );
  const targets = task.encode(lists, labelled);
  return HeadGraph.with(task, async (graph) => {
    const predicted = await predictOutOfFold(
      graph,
      { task, source, ...targets },
      {
        mask: labelled,
        groups,
        l2,
        tolerance: TOLERANCE,
        signal,
        onFit: ({ fits }) => {
          onFit?.(fits);
        },
      },
    );
    if (!predicted) return { findings: [], notice: 'Labels are not checked: too few pictures differ.' };
    const findings = await (task.hasClasses ? classFindings : labelFindings)(rows, targets, predicted);
    return { findings, l2: predicted.l2 };
  });
}

/** Each row's labels, without those that too few distinct pictures have, or, in lists, lack. */
function learnableLabels(rows: readonly StoredPicture[], sets: Int32Array, task: Task): string[][] {
  const having = new Map<string, Set<number>>();
  const all = new Set<number>();
  const lists = rows.map(({ label, labels = [] }) => (task.hasClasses ? (label === undefined ? [] : [label]) : labels));
  lists.forEach((list, row) => {
    if (task.hasClasses || rows[row]!.labels) all.add(sets[row]!);
    for (const label of list) having.set(label, (having.get(label) ?? new Set()).add(sets[row]!));
  });
  const isLearnable = (label: string) => {
    const size = having.get(label)?.size ?? 0;
    return size >= LEAST_PICTURES && (task.hasClasses || all.size - size >= LEAST_PICTURES);
  };
  return lists.map((list) => list.filter(isLearnable));
}

async function classFindings(
  rows: readonly StoredPicture[],
  { names }: Targets,
  { predictions }: OutOfFold,
): Promise<Finding[]> {
  const probabilities = new Float64Array(names.length);
  // Predicted twice rather than kept: of many pictures and classes, the probabilities would fill the memory.
  const suspects = await suspectsOf(async (visit) => {
    for await (const { rows: numbers, targets, logits } of predictions()) {
      numbers.forEach((row, i) => {
        softmaxTask.probabilities(probabilities, logits, i * names.length, 1);
        visit(row, targets[i]!, probabilities);
      });
    }
  }, names.length);
  return suspects.map(({ row, own, other, pOwn, pOther }): Finding => {
    const [label, suggestedLabel] = [names[own]!, names[other]!];
    const detail = `${suggestedLabel} ${percent(pOther, 0)}, ${label} ${percent(pOwn, 0)}`;
    return { issue: 'label error', path: rows[row]!.path, score: 1 - pOwn, detail, suggestedLabel };
  });
}

async function labelFindings(
  rows: readonly StoredPicture[],
  { names, labelSets }: Targets,
  { predictions }: OutOfFold,
): Promise<Finding[]> {
  const blocks: { rows: Int32Array; targets: Int32Array; probabilities: Float32Array }[] = [];
  for await (const { rows: numbers, targets, logits } of predictions()) {
    blocks.push({ rows: numbers, targets, probabilities: logits.map(sigmoid) });
  }
  const ofRow = new Map<number, { label: string; suspect: Suspect }[]>();
  for (const [n, label] of names.entries()) {
    const suspects = await suspectsOf((visit) => {
      for (const { rows: numbers, targets, probabilities } of blocks) {
        numbers.forEach((row, i) => {
          const p = probabilities[i * names.length + n]!;
          visit(row, labelSets[targets[i]!]!.includes(n) ? 1 : 0, Float64Array.of(1 - p, p));
        });
      }
    }, 2);
    for (const suspect of suspects) {
      ofRow.set(suspect.row, [...(ofRow.get(suspect.row) ?? []), { label, suspect }]);
    }
  }
  return [...ofRow].map(([row, found]): Finding => {
    const clearest = found.toSorted((a, b) => a.suspect.pOwn - b.suspect.pOwn);
    const suggested = new Set(rows[row]!.labels);
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
      path: rows[row]!.path,
      detail: details.join('; '),
      score: 1 - clearest[0]!.suspect.pOwn,
      suggestedLabels: [...suggested].sort(),
    };
  });
}

/** Shows each held-out row, its own answer, and the probabilities of all answers. */
type EachPrediction = (visit: (row: number, own: number, probabilities: Float64Array) => void) => Promise<void> | void;

/** A picture for which another answer is more probable than its own. */
interface Suspect {
  row: number;
  own: number;
  other: number;
  pOwn: number;
  pOther: number;
  /** Whether it is confidently of another class. */
  isConfident: boolean;
}

/** Finds the suspects by confident learning. @param count of answers; `each` is called twice */
async function suspectsOf(each: EachPrediction, count: number): Promise<Suspect[]> {
  const thresholds = await classThresholds(each, count);
  const ofLabel = Array.from({ length: count }, () => ({
    total: 0,
    /** Of those, the ones that are confidently of any class, and of another than their label. */
    confident: 0,
    confidentlyOther: 0,
    suspects: [] as Suspect[],
  }));
  await each((row, own, probabilities) => {
    const label = ofLabel[own]!;
    label.total++;
    const confident = confidentClass(probabilities, thresholds);
    if (confident !== undefined) label.confident++;
    const isConfident = confident !== undefined && confident !== own;
    if (isConfident) label.confidentlyOther++;
    const other = argmax(probabilities, 0, count);
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

/** The mean probability of each class over the pictures with that label. */
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
