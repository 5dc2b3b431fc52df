import {
  encodeLabelSets,
  joinGroups,
  predictOutOfFold,
  sigmoid,
  SoftmaxGraph,
  type LabelSets,
  type OutOfFold,
} from '../head/index.js';
import type { Finding } from './finding.js';
import { percent, suspectsOf, TOLERANCE, type LabelErrorOptions, type Suspect } from './label-errors.js';
import type { Pictures } from './pictures.js';

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
): Promise<{ findings: Finding[]; notice?: string }> {
  const part = (row: number) => rows[row]?.labels !== undefined;
  const lists = learnableLabels(rows, sameAs);
  if (!lists.some((list) => list.length > 0)) {
    return {
      findings: [],
      notice: 'Labels are not checked: none is on two pictures and lacking on two others.',
    };
  }
  const { names, sets, classes } = encodeLabelSets(lists, part);
  const groups = joinGroups(
    Array.from(sameAs, String),
    rows.map(({ group }) => group),
  );
  const graph = await SoftmaxGraph.create('multilabel');
  try {
    const predicted = await predictOutOfFold(
      graph,
      { source, names, classes, sets },
      {
        ...{ part, groups, tolerance: TOLERANCE },
        ...(signal && { signal }),
        ...(onFit && {
          onFit: ({ fits }) => {
            onFit(fits);
          },
        }),
      },
    );
    if (!predicted) return { findings: [], notice: 'Labels are not checked: too few pictures differ.' };
    const answers = await answersOf(predicted, sets, names.length);
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
      `${label} ${percent(own === 1 ? pOwn : pOther)}, but ${own === 1 ? 'given' : 'not given'}`,
  );
  return {
    ...{ issue: 'label error', path: picture?.path ?? '', detail: details.join('; ') },
    score: 1 - (clearest[0]?.suspect.pOwn ?? 1),
    suggestedLabels: [...suggested].sort(),
  };
}

/** The probabilities of all labels for all held-out rows: a label is gone through twice, so they are computed once. */
async function answersOf({ predictions }: OutOfFold, sets: LabelSets, count: number) {
  const blocks: { rows: Int32Array; classes: Int32Array; probabilities: Float32Array }[] = [];
  for await (const { rows, classes, logits } of predictions()) {
    blocks.push({ rows, classes, probabilities: logits.map(sigmoid) });
  }
  const members = sets.map((set) => new Set(set));
  return {
    /** Shows each row's answer about label n, 0 or 1, with the probabilities of both. */
    each(n: number, visit: (row: number, own: number, probabilities: Float64Array) => void): void {
      for (const { rows, classes, probabilities } of blocks) {
        rows.forEach((row, i) => {
          const p = probabilities[i * count + n] ?? 0;
          visit(row, members[classes[i] ?? 0]?.has(n) ? 1 : 0, Float64Array.of(1 - p, p));
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
