import { evaluateHead } from '../../head/evaluate.js';
import { countLabels, type Examples, featuresInMemory, rowWeights } from '../../head/examples.js';
import type { Head } from '../../head/head.js';
import { type EvaluationResult, type MultilabelResult, wilsonInterval } from '../../head/metrics.js';
import { HeadGraph } from '../../head/objective.js';
import { joinGroups } from '../../head/split.js';
import { LEAST_PICTURES, multilabelTask, type RowMask, softmaxTask, type Targets, type Task } from '../../head/task.js';
import { tuneHead } from '../../head/train.js';
import { type HeadTransform, learnWhitening } from '../../head/whiten.js';
import type { ClassifierEvaluation, ClassifierState } from '../protocol.js';
import type { Material } from './material.js';
import { verdictOf } from './verdict.js';

/** λ is chosen anew once there are this many times the labels that it was chosen on. */
export const GROWTH = 1.5;

/** The whitening is learnt anew once there are this many times the pictures that it was learnt from. */
const GROWTH_OF_PICTURES = 1.5;

/**
 * The largest λ. The queue asks for difficult pictures, and of a few of those, cross-validation may take none to be better told than by
 * how common the classes are: it then takes a λ at which all suggestions are the same.
 */
const MOST_L2 = 10;

/** Of fits while somebody waits for them; that of `train-head` is a hundredth of it. */
const TOLERANCE = 1e-4;

/** No class, in columns of classes. */
export const NO_CLASS = 65535;

/** What the head says of the pictures; [M] each. */
export interface SuggestionColumns {
  /** Index of the most likely class, or {@link NO_CLASS}. */
  best: Uint16Array;
  /** Calibrated, 0 … 1. */
  probability: Float32Array;
  second: Uint16Array;
  secondProbability: Float32Array;
  /** How unsure the head is, 0 … 1: 1 − the margin between the two or, with lists of labels, of the least sure decision. */
  uncertainty: Float32Array;
}

/** The backbone that made the embeddings. */
interface Identity {
  modelId: string;
  transformId: string;
}

/** The head that learns beside the labels. */
export class LabelClassifier {
  state: ClassifierState;
  /** Undefined until there is a head. */
  suggestions: SuggestionColumns | undefined;
  /** λ that was chosen last. */
  private l2: number | undefined;
  private graph: Promise<HeadGraph> | undefined;
  private whitening: { transform: HeadTransform; pictures: number } | undefined;
  private chosenOn = 0;
  /** The classes of the last head. */
  private known = '';

  constructor(
    private readonly material: Material,
    private readonly identity: Identity,
  ) {
    this.state = {
      ...{ status: 'waiting', version: 0, seq: 0, trainedOn: 0, evaluation: undefined, wanted: undefined, history: [] },
      verdict: '',
    };
  }

  /** The arithmetic of heads. */
  arithmetic(): Promise<HeadGraph> {
    return (this.graph ??= HeadGraph.create(this.task));
  }

  private get task(): Task<EvaluationResult | MultilabelResult> {
    return this.material.multilabel ? multilabelTask : softmaxTask;
  }

  /**
   * Learns from the labels as they are.
   * @throws the signal's reason, once it aborts; everything is then as it was
   */
  async learn(signal: AbortSignal): Promise<void> {
    const { material, task } = this;
    const { seq } = material;
    const history = this.state.history;
    const { pictures, targets, train, validation, tooFew } = this.examples();
    const isEnough = targets.names.length >= (task.hasClasses ? 2 : 1);
    if (!isEnough) {
      this.suggestions = undefined;
      this.known = '';
      const { verdict, wanted } = verdictOf({
        history,
        evaluation: undefined,
        counts: [],
        tooFew,
        classes: material.classes,
        multilabel: material.multilabel,
      });
      this.state = {
        ...{ status: 'waiting', version: this.state.version + 1, seq, trainedOn: 0, evaluation: undefined },
        ...{ verdict, wanted, history },
      };
      return;
    }
    const graph = await this.arithmetic();
    const transform = await this.transform(graph);
    const sampleWeights = Float64Array.from(pictures, (picture) => material.value(picture).weight ?? 1);
    const weights = rowWeights({ task, ...targets, mask: train, sampleWeights });
    const source = featuresInMemory(material.rows(pictures), material.width);
    const examples: Examples = { task, source, ...targets, weights };
    const counts = countLabels(examples, train);
    const trainedOn = targets.targets.reduce((n, target, row) => (target >= 0 && train(row) ? n + 1 : n), 0);
    const names = targets.names.join('\n');
    const choose = names !== this.known || this.l2 === undefined || trainedOn >= GROWTH * this.chosenOn;
    const groups = this.groups(pictures);
    const options = { ...this.identity, mask: train, groups, transform, tolerance: TOLERANCE, signal };
    let tuned = await tuneHead(task, graph, examples, { ...options, l2: choose ? undefined : this.l2 });
    if (tuned.head.l2 > MOST_L2) tuned = await tuneHead(task, graph, examples, { ...options, l2: MOST_L2 });
    const { head, crossValidation } = tuned;
    const result = validation ? await this.evaluateOn(validation, graph, examples, head) : crossValidation?.evaluation;
    const evaluation = result && evaluationOf(result, validation ? 'validation split' : 'cross-validation');
    const suggestions = await this.predict(graph, head, signal);
    // From here on nothing fails, and all of it is of the same head.
    this.suggestions = suggestions;
    this.known = names;
    if (choose) [this.l2, this.chosenOn] = [crossValidation?.chosen.l2, trainedOn];
    const point = evaluation && { labelled: trainedOn, ...pick(evaluation) };
    const longer = point ? [...history, point] : history;
    const { verdict, wanted } = verdictOf({
      history: longer,
      evaluation,
      counts,
      tooFew,
      names: targets.names,
      classes: material.classes,
      multilabel: material.multilabel,
    });
    this.state = {
      ...{ status: 'ready', version: this.state.version + 1, seq, trainedOn, evaluation },
      ...{ verdict, wanted, history: longer },
    };
  }

  async release(): Promise<void> {
    await (await this.graph)?.release();
  }

  /** The labels as targets, and the classes that have too few pictures to be learnt. */
  private examples(): {
    /** Those that are learnt from or evaluated on, to which the rows belong: few of all, as a rule. */
    pictures: Int32Array;
    targets: Targets;
    train: RowMask;
    /** Undefined if no picture of the validation split can be evaluated on. */
    validation: RowMask | undefined;
    tooFew: string[];
  } {
    const { material } = this;
    const pictures = material.labelled().filter((picture) => material.value(picture).split !== 'test');
    const isValidated = Uint8Array.from(pictures, (picture) => (material.value(picture).split === 'val' ? 1 : 0));
    const having = material.classes.map(() => new Set<string>());
    const all = new Set<string>();
    pictures.forEach((picture, row) => {
      if (isValidated[row] === 1) return;
      const digest = material.digests[picture]!;
      all.add(digest);
      for (const n of material.value(picture).labels) having[n]!.add(digest);
    });
    const isLearnable = (n: number) => {
      const { size } = having[n]!;
      return size >= LEAST_PICTURES && (!material.multilabel || all.size - size >= LEAST_PICTURES);
    };
    const classes = [...material.classes.keys()].filter((n) => !material.classes[n]!.removed);
    const nameOf = (n: number) => material.classes[n]!.name;
    const learnable = classes.filter(isLearnable).sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
    const targets = targetsOf(material, learnable, pictures);
    const validation: RowMask = (row) => targets.targets[row]! >= 0 && isValidated[row] === 1;
    return {
      pictures,
      targets,
      train: (row) => targets.targets[row]! >= 0 && isValidated[row] === 0,
      validation: pictures.some((_, row) => validation(row)) ? validation : undefined,
      tooFew: classes.filter((n) => !isLearnable(n)).map(nameOf),
    };
  }

  private async transform(graph: HeadGraph): Promise<HeadTransform> {
    const { material } = this;
    const usable = (row: number) => material.isUsable(row);
    const pictures = material.where(usable).length;
    if (!this.whitening || pictures > GROWTH_OF_PICTURES * this.whitening.pictures) {
      // All pictures are of use, as labels play no part in it.
      const targets = { names: [''], labelSets: [[]], targets: new Int32Array(material.size) };
      const examples = { task: this.task, source: material.source(), ...targets };
      this.whitening = { transform: await learnWhitening(graph, examples, usable), pictures };
      this.known = '';
    }
    return this.whitening.transform;
  }

  private groups(pictures: Int32Array): readonly string[] {
    const { material } = this;
    return joinGroups(
      Array.from(pictures, (picture) => material.digests[picture]!),
      Array.from(pictures, (picture) => material.value(picture).group ?? undefined),
    );
  }

  private async evaluateOn(mask: RowMask, graph: HeadGraph, examples: Examples, head: Head) {
    const evaluator = this.task.evaluator(examples.names, { thresholds: head.thresholds });
    await evaluateHead(graph, examples, mask, head, evaluator);
    return evaluator.result();
  }

  private async predict(graph: HeadGraph, head: Head, signal: AbortSignal): Promise<SuggestionColumns> {
    const { material } = this;
    const { size, multilabel } = material;
    const count = head.labels.length;
    const indexOf = head.labels.map((name) =>
      material.classes.findIndex((each) => each.name === name && !each.removed),
    );
    const parameters = { W: Float32Array.from(head.weights.to1DArray()), b: head.bias };
    const columns: SuggestionColumns = {
      best: new Uint16Array(size).fill(NO_CLASS),
      probability: new Float32Array(size),
      second: new Uint16Array(size).fill(NO_CLASS),
      secondProbability: new Float32Array(size),
      uncertainty: new Float32Array(size),
    };
    const probabilities = new Float64Array(count);
    for await (const { rows, features } of material.source().blocks()) {
      signal.throwIfAborted();
      const logits = await graph.logits(features, parameters);
      for (const [i, picture] of rows.entries()) {
        if (!material.isReadable(picture)) continue;
        this.task.probabilities(probabilities, logits, i * count, head.temperature);
        let [best, second, nearest] = [-1, -1, Infinity];
        for (let n = 0; n < count; n++) {
          const p = probabilities[n]!;
          if (best < 0 || p > probabilities[best]!) [second, best] = [best, n];
          else if (second < 0 || p > probabilities[second]!) second = n;
          nearest = Math.min(nearest, Math.abs(p - (head.thresholds?.[n] ?? 0.5)));
        }
        columns.best[picture] = indexOf[best]!;
        columns.probability[picture] = probabilities[best]!;
        if (second >= 0) {
          columns.second[picture] = indexOf[second]!;
          columns.secondProbability[picture] = probabilities[second]!;
        }
        columns.uncertainty[picture] = multilabel
          ? 1 - Math.min(1, 2 * nearest)
          : 1 - (probabilities[best]! - (probabilities[second] ?? 0));
      }
    }
    return columns;
  }
}

/**
 * @param classes indices of those to learn, in code unit order of their names
 * @param pictures labelled ones, a row each
 */
function targetsOf(material: Material, classes: readonly number[], pictures: Int32Array): Targets {
  const numberOf = new Map(classes.map((n, i) => [n, i]));
  const names = classes.map((n) => material.classes[n]!.name);
  if (!material.multilabel) {
    return {
      names,
      labelSets: names.map((_, i) => [i]),
      targets: pictures.map((picture) => numberOf.get(material.value(picture).labels[0] ?? -1) ?? -1),
    };
  }
  const labelSets: number[][] = [];
  const known = new Map<string, number>();
  const targets = pictures.map((picture) => {
    const set = material
      .value(picture)
      .labels.flatMap((n) => numberOf.get(n) ?? [])
      .sort((a, b) => a - b);
    const target = known.get(set.join()) ?? labelSets.push(set) - 1;
    known.set(set.join(), target);
    return target;
  });
  return { names, labelSets, targets };
}

function pick({ accuracy, low, high }: ClassifierEvaluation) {
  return { accuracy, low, high };
}

function evaluationOf(
  result: EvaluationResult | MultilabelResult,
  on: ClassifierEvaluation['on'],
): ClassifierEvaluation | undefined {
  const { count } = result;
  if (count === 0) return undefined;
  const figures = 'perLabel' in result ? result.perLabel : result.perClass;
  const accuracy = 'perLabel' in result ? 1 - result.hammingLoss! : result.accuracy!;
  const [low, high] = wilsonInterval(accuracy * count, count)!;
  const perClass = figures.map(({ label, precision, recall, support }) => ({
    name: label,
    precision,
    recall,
    support,
  }));
  return { on, accuracy, low, high, pictures: count, perClass };
}
