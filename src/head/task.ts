import type { NodeProto } from 'onnx-buf';
import { node } from '../formats/onnx/build.js';
import { LastlayerError } from '../util/errors.js';
import { argmax, binaryCrossEntropy, logSumExp, sigmoid, softmaxInto, sum } from '../util/math.js';
import {
  bestThreshold,
  DEFAULT_THRESHOLD,
  Evaluation,
  MultilabelEvaluation,
  signTest,
  wilsonInterval,
  type EvaluationResult,
  type MultilabelResult,
} from './metrics.js';
import { typicalScore, unknownRule, type UnknownRate, type UnknownRule } from './unknown.js';

/** `softmax`: each picture is of exactly one class. `multilabel`: it has any number of labels, each decided by itself. */
export type HeadKind = 'softmax' | 'multilabel';

/** A class, or a label and its absence, needs this many distinct pictures: one to train on without the one in question. */
export const LEAST_PICTURES = 2;

/** Selects rows of the data. */
export type RowMask = (row: number) => boolean;

/** The labels of rows as numbers. */
export interface Targets {
  /** The N classes or labels, in code unit order whatever the locale. */
  names: readonly string[];
  /** The distinct targets, each as ascending indices into `names`. For softmax, target n is just class n. */
  labelSets: readonly (readonly number[])[];
  /** Each row's index in `labelSets`; −1 for rows that take no part; [M]. */
  targets: Int32Array;
}

/** What rows are assigned to folds and subsets by, so that each gets its share of everything. */
export interface Strata {
  /** Each row's stratum, 0 … count − 1; −1 for rows that take no part; [M]. */
  of: Int32Array;
  count: number;
}

/** The logits of one row, which start at index `at` of `logits`, and its true labels. */
export interface LogitRow {
  logits: Float32Array;
  at: number;
  labels: readonly number[];
}

/** A row that was held out, as the head sees it that was trained without its fold. */
export interface HeldOutRow extends LogitRow {
  fold: number;
  /** Cosine to the nearest class mean; NaN if the task does not use it. */
  similarity: number;
}

/** Sums over held-out rows. */
export interface FoldScore {
  /** Σ w */
  weight: number;
  /** Σ w · log loss, in nats. */
  loss: number;
  rows: number;
  /** Rows with every label right. */
  right: number;
}

/** Collects rows one by one and measures how good the predictions are. */
export interface Evaluator<Result> {
  /** @param probabilities [N] */
  add(labels: readonly number[], probabilities: Float64Array): void;
  /** Counts a label that the head does not know. */
  addUnknown(label: string): void;
  result(): Result;
}

/** How good out-of-fold predictions are, and what is chosen by them. */
export interface HeldOutEvaluation<Result> {
  /** With calibrated probabilities. */
  evaluation: Result;
  /** With T = 1. */
  uncalibrated: { logLoss: number | null; ece: number | null };
  /** softmax only; null if no prediction is right. */
  unknown?: UnknownRule | null | undefined;
  /** multilabel only: the threshold of each label; [N]. */
  thresholds?: number[] | undefined;
}

/** How often a simple method is right. */
export interface Baseline {
  accuracy: number | null;
  /** 95 %, by Wilson. */
  accuracyInterval: [number, number] | null;
  /** Rows that it was evaluated on. */
  count: number;
}

/** Always the class that is the most common in training. */
export interface MostCommonClass extends Baseline {
  label: string;
  /** Of always answering with the classes' shares in training; their entropy if the evaluated rows have the same ones. */
  logLoss: number | null;
  /** Rows on which the head is right and this is wrong. */
  wins: number;
  /** The other way round. */
  losses: number;
  /** Of so many wins or more if the head were no better: the sign test, which for two classifiers is McNemar's, exact and one-sided. */
  pValue: number;
}

export interface Baselines {
  mostCommon: MostCommonClass;
  /** The class with the nearest mean embedding, by cosine. */
  nearestCentroid: Baseline;
  /** The majority of the k nearest training rows by cosine; in a tie, the class whose rows are nearer in sum. */
  nearestNeighbours: Baseline & { k: number };
}

/** Whether a head does better than the most common class by more than chance would have it, at 5 %. */
export function isClearlyBetter({ mostCommon: { pValue } }: Pick<Baselines, 'mostCommon'>): boolean {
  return pValue < 0.05;
}

export interface MultilabelBaselines {
  /** mAP of any order that ignores the pictures: the mean fraction of rows that have a label. */
  chance: number | null;
  /** mAP when a label's score is the fraction of the k nearest training rows that have it, weighted by cosine. */
  nearestNeighbours: number | null;
  k: number;
  /** Rows that it was evaluated on. */
  count: number;
}

/** A row and its nearest training rows. */
export interface NeighbourQuery {
  labels: readonly number[];
  /** Nearest first, with the cosine to each. */
  neighbours: readonly { labels: readonly number[]; similarity: number }[];
  /** Cosine to each class mean; [N]; empty if the task does not use it. */
  toMeans: Float32Array;
}

/** A point of the learning curve: `accuracy` for softmax, `meanAveragePrecision` for multilabel. */
export interface CurveFigures {
  accuracy?: number | null | undefined;
  /** 95 %, by Wilson. */
  accuracyInterval?: [number, number] | null | undefined;
  meanAveragePrecision?: number | null | undefined;
}

/**
 * How training differs between one class per picture and any number of labels. The objective, cross-validation, calibration
 * and evaluation are written once and ask the task.
 */
export interface Task<Result = unknown, Simple = unknown> {
  readonly kind: HeadKind;
  /** Whether classes can be weighted, and whether pictures of no class can be told by the class means. */
  readonly hasClasses: boolean;
  /**
   * Numbers the labels of all rows; those that no row of the mask has are left out.
   * @param mask the rows to train on
   * @throws {LastlayerError} if these are too few to train on
   */
  encode(labels: readonly (readonly string[])[], mask: RowMask): Targets;
  /** ONNX operators from `logits` [rows, heads, N] to the log-partition `A` [rows, heads] and the probabilities `P`, its gradient. */
  readonly partitionNodes: readonly NodeProto[];
  /** What label smoothing ε puts on each of N labels. */
  smoothing(epsilon: number, count: number): number;
  /** Probabilities from the row of logits at `at`. @param into [N], overwritten */
  probabilities(into: Float64Array, logits: Float32Array, at: number, temperature: number): void;
  /** Adds the loss of a row to a fold's score. */
  score(total: FoldScore, row: LogitRow, count: number, weight: number): void;
  /** Whether the logits separate the rows, so that without a penalty ever larger weights are ever better. */
  separates(rows: AsyncIterable<LogitRow>, count: number): Promise<boolean>;
  strata(targets: Targets, mask: RowMask): Strata;
  /**
   * Adds a row's log loss at inverse temperature β, and its derivative by β. The labels are smoothed by `smoothing`,
   * the weight of one imaginary row for which every answer is equally likely.
   */
  addTemperatureTerms(
    sum: { loss: number; slope: number },
    row: LogitRow,
    count: number,
    weight: number,
    beta: number,
    smoothing: number,
  ): void;
  evaluator(
    names: readonly string[],
    options?: { thresholds?: readonly number[] | null | undefined; topK?: number | undefined },
  ): Evaluator<Result>;
  /**
   * @param rows called once or twice; folds come one after another
   */
  evaluateHeldOut(
    rows: () => AsyncIterable<HeldOutRow>,
    names: readonly string[],
    options: { temperature: number; unknown: UnknownRate },
  ): Promise<HeldOutEvaluation<Result>>;
  baselines(
    names: readonly string[],
    k: number,
  ): {
    add(query: NeighbourQuery): void;
    /** @param counts training rows of each class; [N] */
    result(ofHead: Result, counts: readonly number[]): Simple;
  };
  curveFigures(result: Result): CurveFigures;
}

export const softmaxTask: Task<EvaluationResult, Baselines> = {
  kind: 'softmax',
  hasClasses: true,

  encode(labels, mask) {
    const names = encodeClasses(labels.flatMap(([label = ''], row) => (mask(row) ? [label] : [])));
    const indexOf = new Map(names.map((name, n) => [name, n]));
    return {
      names,
      labelSets: names.map((_, n) => [n]),
      targets: Int32Array.from(labels, ([label = '']) => indexOf.get(label) ?? -1),
    };
  },

  // A(z) = log Σₙ exp(zₙ), which is z₀ − log softmax(z)₀
  partitionNodes: [
    node('LogSoftmax', ['logits'], ['logP'], { axis: 2 }),
    node('Gather', ['logits', 'first'], ['firstLogit'], { axis: 2 }),
    node('Gather', ['logP', 'first'], ['firstLogP'], { axis: 2 }),
    node('Sub', ['firstLogit', 'firstLogP'], ['A']),
    node('Exp', ['logP'], ['P']),
  ],

  smoothing: (epsilon, count) => epsilon / count,

  probabilities: softmaxInto,

  score(total, { logits, at, labels: [c = 0] }, count, weight) {
    total.weight += weight;
    total.loss += weight * (logSumExp(logits, at, count) - logits[at + c]!);
    total.rows++;
    if (argmax(logits, at, count) === c) total.right++;
  },

  async separates(rows, count) {
    for await (const { logits, at, labels } of rows) {
      if (argmax(logits, at, count) !== labels[0]) return false;
    }
    return true;
  },

  strata: ({ names, targets }, mask) => ({
    of: targets.map((target, row) => (mask(row) ? target : -1)),
    count: names.length,
  }),

  // loss log Σₙ exp(βzₙ) − β Σₙ tₙ zₙ, slope Σₙ pₙ zₙ − Σₙ tₙ zₙ
  addTemperatureTerms(sum, { logits, at, labels: [c = 0] }, count, weight, beta, smoothing) {
    const largest = logits[at + argmax(logits, at, count)]!;
    let [total, expected, mean] = [0, 0, 0];
    for (let n = 0; n < count; n++) {
      const z = logits[at + n]!;
      const share = Math.exp(beta * (z - largest));
      total += share;
      expected += share * z;
      mean += z;
    }
    expected /= total;
    mean /= count;
    const normaliser = beta * largest + Math.log(total);
    const target = (1 - smoothing) * logits[at + c]! + smoothing * mean;
    sum.loss += weight * (normaliser - beta * target);
    sum.slope += weight * (expected - target);
  },

  evaluator(names, { topK } = {}) {
    const evaluation = new Evaluation(names, { topK });
    return {
      add: ([c = -1], probabilities) => {
        evaluation.add(c, probabilities);
      },
      addUnknown: evaluation.addUnknown.bind(evaluation),
      result: () => evaluation.result(),
    };
  },

  async evaluateHeldOut(rows, names, { temperature, unknown }) {
    const [calibrated, plain] = [new Evaluation(names), new Evaluation(names)];
    const [scores, isRight]: [number[], boolean[]] = [[], []];
    const probabilities = new Float64Array(names.length);
    for await (const { logits, at, labels, similarity } of rows()) {
      const [c = -1] = labels;
      softmaxInto(probabilities, logits, at, temperature);
      calibrated.add(c, probabilities);
      scores.push(typicalScore(similarity, Math.max(...probabilities)));
      softmaxInto(probabilities, logits, at, 1);
      plain.add(c, probabilities);
      isRight.push(argmax(logits, at, names.length) === c);
    }
    const { logLoss, calibration } = plain.result();
    return {
      evaluation: calibrated.result(),
      uncalibrated: { logLoss, ece: calibration.ece },
      unknown: unknownRule(scores, isRight, unknown),
    };
  },

  baselines(names, k) {
    let [count, centroid, neighbours] = [0, 0, 0];
    const vote = (nearest: NeighbourQuery['neighbours']): number => {
      const [votes, nearness] = [new Float64Array(names.length), new Float64Array(names.length)];
      for (const { labels, similarity } of nearest) {
        const [c = 0] = labels;
        votes[c]!++;
        nearness[c]! += similarity;
      }
      let best = 0;
      for (let c = 1; c < names.length; c++) {
        const lead = votes[c]! - votes[best]!;
        if (lead > 0 || (lead === 0 && nearness[c]! > nearness[best]!)) best = c;
      }
      return best;
    };
    return {
      add({ labels: [c], neighbours: nearest, toMeans }) {
        if (argmax(toMeans, 0, names.length) === c) centroid++;
        if (vote(nearest) === c) neighbours++;
        count++;
      },
      result(ofHead, counts) {
        const baseline = (right: number): Baseline => ({
          accuracy: count === 0 ? null : right / count,
          accuracyInterval: wilsonInterval(right, count),
          count,
        });
        return {
          mostCommon: mostCommonClass(ofHead, names, counts),
          nearestCentroid: baseline(centroid),
          nearestNeighbours: { k, ...baseline(neighbours) },
        };
      },
    };
  },

  curveFigures: ({ accuracy, accuracyInterval }) => ({ accuracy, accuracyInterval }),
};

function mostCommonClass(
  { confusion, count }: EvaluationResult,
  names: readonly string[],
  counts: readonly number[],
): MostCommonClass {
  const most = counts.indexOf(Math.max(...counts));
  const total = sum(counts);
  const supports = names.map((_, n) => sum(confusion.getRow(n)));
  const [right, both] = [supports[most]!, confusion.get(most, most)];
  const [wins, losses] = [sum(confusion.diagonal()) - both, right - both];
  const surprise = supports.map((support, n) => (support === 0 ? 0 : -support * Math.log(counts[n]! / total)));
  return {
    label: names[most]!,
    accuracy: count === 0 ? null : right / count,
    accuracyInterval: wilsonInterval(right, count),
    count,
    logLoss: count === 0 ? null : sum(surprise) / count,
    wins,
    losses,
    pValue: signTest(wins, losses),
  };
}

export const multilabelTask: Task<MultilabelResult, MultilabelBaselines> = {
  kind: 'multilabel',
  hasClasses: false,

  encode(labels, mask) {
    const names = encodeNames(labels, mask);
    const indexOf = new Map(names.map((name, n) => [name, n]));
    const labelSets: number[][] = [];
    const known = new Map<string, number>();
    const targets = Int32Array.from(labels, (list) => {
      const indices = [...new Set(list.flatMap((label) => indexOf.get(label) ?? []))].sort((a, b) => a - b);
      const key = indices.join();
      const target = known.get(key) ?? labelSets.push(indices) - 1;
      known.set(key, target);
      return target;
    });
    return { names, labelSets, targets };
  },

  // A(z) = Σₙ log(1 + exp(zₙ)), computed as Σₙ max(zₙ, 0) + softplus(−|zₙ|), which cannot overflow
  partitionNodes: [
    node('Relu', ['logits'], ['positive']),
    node('Abs', ['logits'], ['magnitude']),
    node('Neg', ['magnitude'], ['decay']),
    node('Softplus', ['decay'], ['rest']),
    node('Add', ['positive', 'rest'], ['partitions']),
    node('ReduceSum', ['partitions', 'classAxis'], ['A'], { keepdims: 0 }),
    node('Sigmoid', ['logits'], ['P']),
  ],

  smoothing: (epsilon) => epsilon / 2,

  probabilities(into, logits, at, temperature) {
    for (let n = 0; n < into.length; n++) into[n] = sigmoid(logits[at + n]! / temperature);
  },

  score(total, { logits, at, labels }, count, weight) {
    let isRight = true;
    for (let n = 0; n < count; n++) {
      const [z, has] = [logits[at + n]!, labels.includes(n)];
      total.loss += weight * binaryCrossEntropy(z, has);
      if (z > 0 !== has) isRight = false;
    }
    total.weight += weight;
    total.rows++;
    if (isRight) total.right++;
  },

  async separates(rows, count) {
    const isSeparated = new Uint8Array(count).fill(1);
    for await (const { logits, at, labels } of rows) {
      for (let n = 0; n < count; n++) if (logits[at + n]! > 0 !== labels.includes(n)) isSeparated[n] = 0;
    }
    return isSeparated.includes(1);
  },

  // A row's stratum is the rarest fact about it: that it has some label, or that it lacks one. If every stratum is in at
  // least two folds, so are the rows with and those without each label.
  strata({ names, labelSets, targets }, mask) {
    const taking = targets.map((target, row) => (mask(row) ? target : -1));
    const sizes = new Float64Array(2 * names.length);
    const factsOf = labelSets.map((set) => names.map((_, n) => (set.includes(n) ? n : names.length + n)));
    for (const target of taking) for (const fact of factsOf[target] ?? []) sizes[fact]!++;
    const rarest = factsOf.map((facts) => facts.reduce((best, fact) => (sizes[fact]! < sizes[best]! ? fact : best)));
    return { of: taking.map((target) => rarest[target] ?? -1), count: 2 * names.length };
  },

  // For each label, loss log(1 + exp(βz)) − tβz and slope (σ(βz) − t) z
  addTemperatureTerms(sum, { logits, at, labels }, count, weight, beta, smoothing) {
    for (let n = 0; n < count; n++) {
      const z = logits[at + n]!;
      const target = (1 - smoothing) * (labels.includes(n) ? 1 : 0) + smoothing / 2;
      sum.loss += weight * (binaryCrossEntropy(beta * z, false) - target * beta * z);
      sum.slope += weight * (sigmoid(beta * z) - target) * z;
    }
  },

  evaluator(names, { thresholds } = {}) {
    const evaluation = new MultilabelEvaluation(names);
    const decided = thresholds ?? names.map(() => DEFAULT_THRESHOLD);
    return {
      add: (labels, probabilities) => {
        evaluation.add(labels, probabilities, decided);
      },
      addUnknown: evaluation.addUnknown.bind(evaluation),
      result: () => evaluation.result(),
    };
  },

  async evaluateHeldOut(rows, names, { temperature }) {
    const held: { fold: number; labels: readonly number[]; probabilities: Float64Array }[] = [];
    const uncalibrated = new MultilabelEvaluation(names);
    for await (const { fold, logits, at, labels } of rows()) {
      const [probabilities, plain] = [new Float64Array(names.length), new Float64Array(names.length)];
      multilabelTask.probabilities(probabilities, logits, at, temperature);
      multilabelTask.probabilities(plain, logits, at, 1);
      uncalibrated.add(labels, plain, []);
      held.push({ fold, labels, probabilities });
    }
    const thresholdsBy = (chosen: typeof held) =>
      names.map((_, n) =>
        bestThreshold(
          Float64Array.from(chosen, ({ probabilities }) => probabilities[n]!),
          Uint8Array.from(chosen, ({ labels }) => (labels.includes(n) ? 1 : 0)),
        ),
      );
    const evaluation = new MultilabelEvaluation(names);
    for (const fold of new Set(held.map((row) => row.fold))) {
      // A threshold that was chosen on the very rows it is evaluated on would look too good.
      const thresholds = thresholdsBy(held.filter((row) => row.fold !== fold));
      for (const row of held) {
        if (row.fold === fold) evaluation.add(row.labels, row.probabilities, thresholds);
      }
    }
    const { logLoss, calibration } = uncalibrated.result();
    return {
      evaluation: evaluation.result(),
      uncalibrated: { logLoss, ece: calibration.ece },
      thresholds: thresholdsBy(held),
    };
  },

  baselines(names, k) {
    const evaluation = new MultilabelEvaluation(names);
    return {
      add({ labels, neighbours }) {
        const scores = new Float64Array(names.length);
        let total = 0;
        for (const { labels: theirs, similarity } of neighbours) {
          const weight = Math.max(0, similarity);
          total += weight;
          for (const n of theirs) scores[n]! += weight;
        }
        evaluation.add(labels, total > 0 ? scores.map((score) => score / total) : scores, []);
      },
      result() {
        const { count, perLabel, meanAveragePrecision } = evaluation.result();
        const rates = perLabel.filter(({ support }) => support > 0).map(({ support }) => support / count);
        const chance = rates.length === 0 ? null : rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
        return { chance, nearestNeighbours: meanAveragePrecision, k, count };
      },
    };
  },

  curveFigures: ({ meanAveragePrecision }) => ({ meanAveragePrecision }),
};

export function taskOf(kind: HeadKind): Task<EvaluationResult | MultilabelResult, Baselines | MultilabelBaselines> {
  return kind === 'softmax' ? softmaxTask : multilabelTask;
}

/** The classes in code unit order, as torchvision's ImageFolder has them. @param labels of the training rows */
function encodeClasses(labels: readonly string[]): string[] {
  const missing = labels.filter((label) => label === '').length;
  if (missing === labels.length) {
    throw new LastlayerError(
      'None of the rows has a label. Put each picture in a folder named after its class, or give labels in a manifest.',
    );
  }
  if (missing > 0) {
    throw new LastlayerError(
      `${missing} of ${labels.length} rows have no label, the first of them row ${labels.indexOf('')}. Label them or ` +
        'leave them out of training.',
    );
  }
  const counts = countEach(labels);
  const names = [...counts.keys()].sort();
  if (names.length === 1) {
    const rows = labels.length === 1 ? 'The only row is' : `All ${labels.length} rows are`;
    throw new LastlayerError(
      `${rows} of one class, ${JSON.stringify(names[0])}, so there is nothing to learn. Add pictures of at least one other ` +
        'class.',
    );
  }
  const single = names.filter((name) => counts.get(name) === 1);
  if (single.length > 0) {
    const shown = single
      .slice(0, 10)
      .map((name) => JSON.stringify(name))
      .join(', ');
    const rest = single.length > 10 ? ` and ${single.length - 10} more` : '';
    const [which, it, leave] =
      single.length === 1
        ? [`The class ${shown} has only one training example`, 'it', 'class']
        : [`The classes ${shown}${rest} have only one training example each`, 'each', 'classes'];
    throw new LastlayerError(
      `${which}: too few to train on. Add at least one more picture of ${it}, or leave the ${leave} out.`,
    );
  }
  return names;
}

/** The labels of the training rows, in code unit order. */
function encodeNames(labels: readonly (readonly string[])[], mask: RowMask): string[] {
  const lists = labels.filter((_, row) => mask(row)).map((list) => [...new Set(list)]);
  const counts = countEach(lists.flat());
  const names = [...counts.keys()].sort();
  if (names.length === 0) {
    throw new LastlayerError(
      `None of the ${lists.length} training rows has a label, so there is nothing to learn. Label some of them.`,
    );
  }
  for (const name of names) {
    const count = counts.get(name) ?? 0;
    if (count >= LEAST_PICTURES && lists.length - count >= LEAST_PICTURES) continue;
    const [few, what] = count < LEAST_PICTURES ? ['positives', 'with'] : ['negatives', 'without'];
    throw new LastlayerError(
      `The label ${JSON.stringify(name)} is on ${count} of ${lists.length} training rows: too few ${few}. Add pictures ` +
        `${what} it until there are at least ${LEAST_PICTURES}, or leave the label out.`,
    );
  }
  return names;
}

function countEach(labels: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return counts;
}
