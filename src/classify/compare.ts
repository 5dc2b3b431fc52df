import { type BackboneOptions, loadBackbone } from '../backbone/load.js';
import type { Split } from '../data/dataset.js';
import { loadHead } from '../head/file.js';
import { decide } from '../head/evaluate.js';
import type { Head } from '../head/head.js';
import { SMALLEST_PROBABILITY, wilsonInterval } from '../head/metrics.js';
import { bootstrapIntervals, mcnemarTest } from '../head/paired.js';
import type { HeadKind } from '../head/task.js';
import { type EmbeddingRow, labelsIn } from '../store/row.js';
import { EmbeddingStore } from '../store/store.js';
import { DEFAULT_STORE } from '../util/defaults.js';
import { LastlayerError } from '../util/errors.js';
import { firstOf, quantity, signed, signedPoints } from '../util/format.js';
import { mean, sum } from '../util/math.js';
import { checkBackbone, Classifier } from './classifier.js';
import { chooseSplit, eachEmbedding, type EvaluateOptions } from './evaluate.js';

export interface ComparedClassifier {
  /** What messages call its head, such as the file. */
  name: string;
  classifier: Classifier;
}

export interface ComparedClassifiers {
  a: ComparedClassifier;
  b: ComparedClassifier;
}

export interface CompareOptions extends Omit<EvaluateOptions, 'topK'> {
  /** Folder or manifest. @default the data set in the store that was embedded last for either head */
  dataset?: string | undefined;
  /** The split to compare on. @default the validation split, else the test split, else everything */
  split?: Split | undefined;
  onNotice?: ((line: string) => void) | undefined;
}

/** How good one head is on the pictures that both were compared on. */
export interface ComparedHead {
  name: string;
  modelId: string;
  /** The fraction that is right, 0 … 1; for multilabel heads, with all labels right. */
  accuracy: number;
  /** Its 95 % confidence interval, by Wilson. */
  accuracyInterval: [number, number];
  /** Mean, in nats, with probabilities clipped as in `EvaluationResult`; for multilabel heads, summed over the labels. */
  logLoss: number;
  /** Pictures that were left out because this head was trained on them; null if it does not know which those are. */
  trainedOn: number | null;
}

/** A picture on which two heads do not agree. */
export interface ChangedPicture {
  path: string;
  /** `fixed`: only B is right. `broken`: only A is right. `other`: both are wrong, in different ways. */
  change: 'fixed' | 'broken' | 'other';
  /** What the data set says: one class, or any number of labels. */
  labels: string[];
  a: ComparedPrediction;
  b: ComparedPrediction;
}

export interface ComparedPrediction {
  labels: string[];
  /** Of the predicted class; for a multilabel head, of its least certain decision; 0 … 1. */
  certainty: number;
}

/** Two heads on the same pictures. Differences are those of B minus those of A. */
export interface Comparison {
  kind: HeadKind;
  dataset: string;
  /** Undefined if all pictures were compared on. */
  split: Split | undefined;
  /** Pictures that were compared on: labelled, with labels that both heads know, and new to both. */
  count: number;
  a: ComparedHead;
  b: ComparedHead;
  difference: {
    accuracy: number;
    /** 95 %, by a paired bootstrap, see {@link bootstrapIntervals}; null if both heads are right on the same pictures. */
    accuracyInterval: [number, number] | null;
    logLoss: number;
    /** Like `accuracyInterval`; null if the log loss of every picture differs alike. */
    logLossInterval: [number, number] | null;
  };
  /** Pictures that only B, and that only A gets right. */
  fixed: number;
  broken: number;
  /** Two-sided, by {@link mcnemarTest}. */
  pValue: number;
  /** Those whose log loss changed most first. */
  changed: ChangedPicture[];
  /** Pictures that were left out because either head was trained on them. */
  trainedOn: number;
  /** Pictures that were left out because a head does not know their class, by class; for multilabel heads, labels. */
  unknown: { label: string; count: number }[];
  unlabelled: number;
  failed: { path: string; error: string }[];
}

/** The chance of a false alarm that verdicts accept. */
const ALPHA = 0.05;

/** Whether B is better or worse than A by more than chance would have it, at 5 %, and a sentence that says so. */
export function verdictOf({ fixed, broken, pValue }: Pick<Comparison, 'fixed' | 'broken' | 'pValue'>): {
  verdict: 'better' | 'worse' | 'unclear' | 'equal';
  text: string;
} {
  if (fixed + broken === 0) {
    return { verdict: 'equal', text: 'No difference in accuracy: both heads are right on the same pictures.' };
  }
  const verdict = pValue >= ALPHA ? 'unclear' : fixed > broken ? 'better' : 'worse';
  const headline = { better: 'B is clearly better', worse: 'B is clearly worse', unclear: 'No clear difference' }[
    verdict
  ];
  const p = pValue < 0.001 ? 'p < 0.001' : `p = ${pValue.toFixed(3)}`;
  return {
    verdict,
    text:
      `${headline}: of the ${fixed + broken} pictures that just one of the two gets right, B gets ${fixed} and A ${broken} ` +
      `(McNemar's exact test, ${p}).`,
  };
}

/**
 * Loads two heads and their backbones, for {@link compareClassifiers}. Heads of one backbone share it.
 * @throws {LastlayerError} if a head or its backbone cannot be read
 */
export async function loadCompared(
  a: string,
  b: string,
  options: Omit<BackboneOptions, 'model' | 'neededBy'> = {},
): Promise<ComparedClassifiers> {
  const first = await Classifier.load(a, options);
  const head = await loadHead(b);
  const isShared = head.modelId === first.backbone.id;
  const backbone = isShared ? first.backbone : await loadBackbone({ ...options, model: head.modelId, neededBy: b });
  checkBackbone(head, backbone, b);
  return { a: { name: a, classifier: first }, b: { name: b, classifier: new Classifier(backbone, head) } };
}

/**
 * Compares two classifiers on the same labelled pictures, which neither head was trained on. Their heads may be of different
 * backbones, and have different classes: pictures of a class that one of them does not know are left out.
 * @throws {LastlayerError} if the heads are of different kinds or have no label in common, or no picture is left to compare on
 * @throws the signal's reason, once it aborts
 */
export async function compareClassifiers(
  { a, b }: ComparedClassifiers,
  options: CompareOptions = {},
): Promise<Comparison> {
  const [headA, headB] = [a.classifier.head, b.classifier.head];
  if (headA.kind !== headB.kind) {
    throw new LastlayerError(
      `${a.name} is a ${headA.kind} head and ${b.name} a ${headB.kind} head, so nothing that they predict can be compared. ` +
        'Compare heads of one kind.',
    );
  }
  const common = new Set(headA.labels.filter((label) => headB.indexOf(label) !== undefined));
  if (common.size === 0) {
    throw new LastlayerError(
      `${a.name} and ${b.name} have no label in common: ${firstOf(headA.labels)}, and ${firstOf(headB.labels)}.`,
    );
  }
  const dataset = options.dataset ?? (await datasetOf(options, [headB, headA]));
  const chosen = await chooseSplit(dataset, options.split, ['val', 'test']);
  const read = await readBoth(a.classifier, b.classifier, dataset, chosen, options, common);
  const { pictures, left, failed } = read;
  for (const { name, classifier } of [a, b]) {
    if (classifier.head.trainedOn) continue;
    options.onNotice?.(
      `${name} does not say which pictures it was trained on. If it saw some of these, it looks too good.`,
    );
  }
  const trainedOn = left.trainedOn.size;
  const where = chosen.split ? `the split ${chosen.split} of ${dataset}` : dataset;
  if (pictures.length === 0) {
    throw new LastlayerError(
      `There is nothing to compare on in ${where}: ${quantity(trainedOn, 'picture')} that ${a.name} or ${b.name} was trained on, ` +
        `${left.unlabelled} without ${headA.kind === 'softmax' ? 'a label' : 'a list of labels'}, ${failed.length} unreadable, ` +
        `${left.otherClass} of a class that one of the heads does not know. Name a data set of other pictures, or train both heads with ` +
        '--hold-out 0.2.',
    );
  }
  if (trainedOn > 0) {
    options.onNotice?.(
      `${quantity(trainedOn, 'picture')} of ${where} left out: ${a.name} or ${b.name} was trained on ` +
        `${trainedOn === 1 ? 'it' : 'them'}.`,
    );
  }
  const gains = Float64Array.from(pictures, (picture) => Number(picture.b.isRight) - Number(picture.a.isRight));
  const losses = Float64Array.from(pictures, (picture) => picture.b.logLoss - picture.a.logLoss);
  const [accuracyInterval = null, logLossInterval = null] = await bootstrapIntervals([gains, losses], options.signal);
  const countOf = (gain: number) => gains.filter((value) => value === gain).length;
  const [fixed, broken] = [countOf(1), countOf(-1)];
  const score = (side: Side, { name, classifier }: ComparedClassifier): ComparedHead => {
    const right = pictures.filter((picture) => picture[side].isRight).length;
    return {
      name,
      modelId: classifier.head.modelId,
      accuracy: right / pictures.length,
      accuracyInterval: wilsonInterval(right, pictures.length)!,
      logLoss: mean(pictures.map((picture) => picture[side].logLoss))!,
      trainedOn: classifier.head.trainedOn ? left.by[side] : null,
    };
  };
  return {
    kind: headA.kind,
    dataset,
    split: chosen.split,
    count: pictures.length,
    a: score('a', a),
    b: score('b', b),
    difference: {
      accuracy: sum(gains) / gains.length,
      accuracyInterval: fixed + broken === 0 ? null : accuracyInterval,
      logLoss: sum(losses) / losses.length,
      logLossInterval,
    },
    fixed,
    broken,
    pValue: mcnemarTest(fixed, broken),
    changed: changedPictures(pictures),
    trainedOn,
    unknown: [...left.unknown].map(([label, count]) => ({ label, count })),
    unlabelled: left.unlabelled,
    failed,
  };
}

/** The kinds of change, with their headings. */
export const CHANGES = [
  ['fixed', 'fixed: only B is right'],
  ['broken', 'broken: only A is right'],
  ['other', 'wrong in another way'],
] as const;

/** The figures of both heads, as rows of a table. @param percent how to write a fraction */
export function figuresOf(
  { a, b, difference, kind }: Pick<Comparison, 'a' | 'b' | 'difference' | 'kind'>,
  percent: (fraction: number) => string,
): string[][] {
  const interval = (ends: [number, number] | null, text: (value: number) => string) =>
    ends?.map(text).join(' to ') ?? '–';
  const nats = (value: number) => signed(value, 3);
  return [
    ['', 'A', 'B', 'B − A', '95 % interval'],
    [
      kind === 'softmax' ? 'accuracy' : 'all labels right',
      ...[percent(a.accuracy), percent(b.accuracy)],
      ...[signedPoints(difference.accuracy), interval(difference.accuracyInterval, signedPoints)],
    ],
    [
      'log loss',
      ...[a.logLoss.toFixed(3), b.logLoss.toFixed(3)],
      ...[nats(difference.logLoss), interval(difference.logLossInterval, nats)],
    ],
  ];
}

/** The data set that was embedded last for one of the heads. */
async function datasetOf({ store = DEFAULT_STORE, onNotice }: CompareOptions, heads: readonly Head[]): Promise<string> {
  const opened = await EmbeddingStore.open(store, { create: false });
  try {
    const ids = heads.map(({ modelId }) => modelId);
    const records = (await opened.datasets()).filter(({ model_id }) => ids.includes(model_id));
    const [latest] = records;
    if (!latest) {
      throw new LastlayerError(
        `${opened.location} has no embeddings for either head (${[...new Set(ids)].join(', ')}). Name a data set to compare on.`,
      );
    }
    const others = new Set(records.map(({ dataset }) => dataset).filter((dataset) => dataset !== latest.dataset));
    if (others.size > 0) {
      onNotice?.(
        `Comparing on the data set that was embedded last, ${latest.dataset}. To compare on another, name it: ` +
          `${[...others].join(', ')}.`,
      );
    }
    return latest.dataset;
  } finally {
    opened.close();
  }
}

type Side = 'a' | 'b';

interface Prediction extends ComparedPrediction {
  isRight: boolean;
  logLoss: number;
}

interface ComparedPicture {
  path: string;
  labels: string[];
  a: Prediction;
  b: Prediction;
}

/** Why pictures are not compared on. */
interface LeftOut {
  /** Paths of pictures that either head was trained on, and how many each was. */
  trainedOn: Set<string>;
  by: Record<Side, number>;
  unlabelled: number;
  otherClass: number;
  unknown: Map<string, number>;
}

async function readBoth(
  a: Classifier,
  b: Classifier,
  dataset: string,
  chosen: { split: Split | undefined; total: number },
  options: CompareOptions,
  common: ReadonlySet<string>,
): Promise<{ pictures: ComparedPicture[]; left: LeftOut; failed: Comparison['failed'] }> {
  const left: LeftOut = { trainedOn: new Set(), by: { a: 0, b: 0 }, unlabelled: 0, otherClass: 0, unknown: new Map() };
  const heads = { a: a.head, b: b.head };
  const isOnePass = a.backbone.id === b.backbone.id && a.backbone.transformId === b.backbone.transformId;
  const total = chosen.total * (isOnePass ? 1 : 2);
  let passed = 0;
  const read = async (classifier: Classifier, visit: (embedding: Float32Array, row: EmbeddingRow) => boolean) => {
    const result = await eachEmbedding(
      classifier,
      dataset,
      chosen,
      { ...options, onProgress: ({ done }) => options.onProgress?.({ done: passed + done, total }) },
      visit,
    );
    passed += chosen.total;
    return result;
  };

  const found = new Map<string, { labels: string[]; a: Prediction }>();
  const pictures: ComparedPicture[] = [];
  const addSecond = (embedding: Float32Array, path: string) => {
    const first = found.get(path);
    if (first) pictures.push({ path, ...first, b: predictionOf(heads.b, embedding, first.labels, common) });
  };
  const { failed, unlabelled } = await read(a, (embedding, row) => {
    const labels = labelsOf(row, heads.a.kind);
    if (!labels) return false;
    const { path, sha256 } = row;
    const seenBy = (['a', 'b'] as const).filter((side) => heads[side].wasTrainedOn(sha256 ?? ''));
    for (const side of seenBy) left.by[side]++;
    if (seenBy.length > 0) left.trainedOn.add(path);
    else {
      for (const label of labels) {
        if (!common.has(label)) left.unknown.set(label, (left.unknown.get(label) ?? 0) + 1);
      }
      if (heads.a.kind === 'softmax' && !labels.every((label) => common.has(label))) left.otherClass++;
      else {
        const known = labels.filter((label) => common.has(label)).sort();
        found.set(path, { labels: known, a: predictionOf(heads.a, embedding, known, common) });
        if (isOnePass) addSecond(embedding, path);
      }
    }
    return true;
  });
  left.unlabelled = unlabelled;
  if (!isOnePass) {
    const second = await read(b, (embedding, { path }) => {
      addSecond(embedding, path);
      return true;
    });
    const known = new Set(failed.map(({ path }) => path));
    failed.push(...second.failed.filter(({ path }) => !known.has(path)));
  }
  pictures.sort((one, other) => (one.path < other.path ? -1 : 1));
  return { pictures, left, failed };
}

function labelsOf({ label, labels }: EmbeddingRow, kind: HeadKind): readonly string[] | undefined {
  if (kind === 'softmax') return label === null ? undefined : [label];
  return labels === null ? undefined : labelsIn(labels);
}

/** @param truth labels that both heads know, sorted */
function predictionOf(
  head: Head,
  embedding: Float32Array,
  truth: readonly string[],
  common: ReadonlySet<string>,
): Prediction {
  const probabilities = Float64Array.from(head.predictProba(embedding).getRow(0));
  const { predicted, certainty } = decide(head, probabilities);
  const isSoftmax = head.kind === 'softmax';
  // What only one of two multilabel heads knows cannot be compared. A wrong class is wrong, whoever knows it.
  const labels = predicted
    .map((n) => head.labels[n]!)
    .filter((label) => isSoftmax || common.has(label))
    .sort();
  const losses = head.labels.flatMap((label, n) => {
    const isTrue = truth.includes(label);
    if (isSoftmax ? !isTrue : !common.has(label)) return [];
    const p = isTrue ? probabilities[n]! : 1 - probabilities[n]!;
    return -Math.log(Math.max(p, SMALLEST_PROBABILITY));
  });
  return {
    labels,
    certainty,
    isRight: JSON.stringify(labels) === JSON.stringify(truth),
    logLoss: losses.reduce((sum, loss) => sum + loss, 0),
  };
}

function changedPictures(pictures: readonly ComparedPicture[]): ChangedPicture[] {
  const change = ({ a, b }: ComparedPicture) => Math.abs(b.logLoss - a.logLoss);
  const shown = ({ labels, certainty }: Prediction): ComparedPrediction => ({ labels, certainty });
  return pictures
    .filter(({ a, b }) => JSON.stringify(a.labels) !== JSON.stringify(b.labels))
    .sort((one, other) => change(other) - change(one))
    .map(({ path, labels, a, b }) => ({
      path,
      change: b.isRight ? 'fixed' : a.isRight ? 'broken' : 'other',
      labels,
      a: shown(a),
      b: shown(b),
    }));
}
