import { percent, quantity } from '../../util/format.js';
import type { ClassifierEvaluation, ClassifierState } from '../protocol.js';
import type { ClassState } from '../state.js';

/** It is enough if so many labels have changed nothing that can be told, */
const WINDOW = 20;

/** with so many pictures of each class, */
const LEAST_OF_CLASS = 10;

/** and accuracy is known to within this. */
const WIDEST = 0.05;

interface Known {
  history: ClassifierState['history'];
  evaluation: ClassifierEvaluation | undefined;
  /** The classes that are learnt, and how many pictures each is learnt from. */
  names?: readonly string[] | undefined;
  counts: readonly number[];
  /** Classes that have too few pictures to be learnt. */
  tooFew: readonly string[];
  classes: readonly ClassState[];
  multilabel: boolean;
}

/** What to do next, in one sentence, and the class that it is about. */
export function verdictOf(known: Known): { verdict: string; wanted: string | undefined } {
  const { evaluation, tooFew, names = [], counts, history } = known;
  if (counts.length === 0) return waiting(known);
  const [missing] = tooFew;
  if (missing !== undefined) {
    return { verdict: `Label two pictures of ${missing}, so that it is learnt, too.`, wanted: missing };
  }
  if (!evaluation)
    return { verdict: 'There are too few labels to tell how good the classifier is.', wanted: undefined };
  const weakest = weakestClass(names, counts, evaluation);
  const before = history.findLast(({ labelled }) => labelled <= history.at(-1)!.labelled - WINDOW);
  const half = (evaluation.high - evaluation.low) / 2;
  const isSteady = before && Math.abs(evaluation.accuracy - before.accuracy) < half;
  if (isSteady && half <= WIDEST && Math.min(...counts) >= LEAST_OF_CLASS) {
    const more = history.at(-1)!.labelled - before.labelled;
    return {
      verdict: `${more} more labels have changed accuracy by less than its interval, ± ${percent(half)}: enough.`,
      wanted: undefined,
    };
  }
  const { name, recall, count } = weakest;
  const found = recall === null ? '' : `, and ${percent(recall, 0)} of them are recognised`;
  return {
    verdict: `More labels of ${name} would help most: it has ${quantity(count, 'picture')}${found}.`,
    wanted: name,
  };
}

function waiting({ classes, tooFew, multilabel }: Known): { verdict: string; wanted: string | undefined } {
  const there = classes.filter(({ removed }) => !removed);
  if (multilabel) {
    return {
      verdict:
        'The classifier begins to learn once a label is on two pictures, and known to be missing from two others.',
      wanted: tooFew[0],
    };
  }
  if (there.length < 2) {
    return {
      verdict: 'Add two classes, and label two pictures of each: then the classifier begins to learn.',
      wanted: undefined,
    };
  }
  return {
    verdict: 'Label two pictures of two classes, and the classifier begins to learn.',
    wanted: there.length - tooFew.length === 1 ? tooFew[0] : undefined,
  };
}

/** The class that errs most for the pictures that it has: (1 − recall) / √count, with recall as if one more of two was found. */
function weakestClass(
  names: readonly string[],
  counts: readonly number[],
  { perClass }: ClassifierEvaluation,
): { name: string; recall: number | null; count: number } {
  const classes = names.map((name, n) => {
    const { recall, support } = perClass.find((each) => each.name === name) ?? { recall: null, support: 0 };
    const smoothed = ((recall ?? 0) * support + 1) / (support + 2);
    return { name, recall, count: counts[n]!, need: (1 - smoothed) / Math.sqrt(counts[n]!) };
  });
  return classes.reduce((worst, each) => (each.need > worst.need ? each : worst));
}
