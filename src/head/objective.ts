import type { LabelSets } from './label-sets.js';
import type { Objective } from './lbfgs.js';
import type { Parameters, SoftmaxGraph } from './softmax-graph.js';
import { addScaled, dot, scale } from './vector.js';

/**
 * How many rows make a block, at most. Each block is read twice, for the logits and for the gradient, and 1024 × 512
 * floats still lie in the cache the second time: a third faster than one pass over 50 000 rows.
 */
const MOST_ROWS = 1024;

/** Logits of one block, at most: 4 MiB, of which the graph holds a few at a time. */
const MOST_LOGITS = 2 ** 20;

/** Some rows of the data. */
export interface RowBlock {
  /** [rows × width], row-major. */
  features: Float32Array;
  /** Each row's class, 0 … classes − 1, or its set of labels; [rows]. */
  classes: Int32Array;
  /** Each row's weight, above 0; [rows]; 1 each where there are none. */
  weights?: Float32Array;
}

export interface ObjectiveOptions {
  /** N ≥ 2 classes, or N ≥ 1 labels. */
  classes: number;
  /** The sets of labels that rows have, where these are labels and not classes. The graph has to be of that kind. */
  sets?: LabelSets;
  /** D, the number of features. */
  width: number;
  /** λ ≥ 0 */
  l2: number;
  /** ε, 0 ≤ ε < 1; default 0. */
  labelSmoothing?: number;
}

/** How many rows a block should have, so that its logits do not fill the memory. */
export function blockRows(classes: number): number {
  return Math.max(16, Math.min(MOST_ROWS, Math.floor(MOST_LOGITS / classes)));
}

/**
 * The objective of softmax regression (multinomial logistic regression) with sample weights and label smoothing,
 *   f(W, b) = 1/Σw Σᵢ wᵢ H(tᵢ, softmax(W xᵢ + b)) + λ/2 ‖W‖²,
 * and its gradient. H is the cross-entropy; tᵢ is 1 − ε on the row's class, and ε/N more on every class (Szegedy et al.
 * 2016, "Rethinking the Inception Architecture", section 7). The mean is weighted as scikit-learn's LogisticRegression
 * has it with sample_weight; the bias is not penalised. Blocks, and the losses of rows, are summed in float64. Large
 * logits do no harm: LogSoftmax subtracts the largest one first.
 *
 * With `sets`, the objective of one logistic regression a label: in place of H, the sum over labels of the binary
 * cross-entropies of sigmoid(W xᵢ + b), whose targets are (1 − ε) tᵢ + ε/2.
 * @param blocks the data, at least one row; gone through anew by each evaluation
 * @returns f of the parameters W [classes × width] row-major, then b [classes], which are rounded to float32 for the
 *   products
 */
export function softmaxObjective(
  graph: SoftmaxGraph,
  blocks: Iterable<RowBlock> | AsyncIterable<RowBlock>,
  { classes, width, l2, labelSmoothing = 0, sets }: ObjectiveOptions,
): Objective {
  const targets = new Targets(classes, labelSmoothing, sets);
  return async (x) => {
    const weights = x.subarray(0, classes * width);
    const parameters = toParameters(x, classes);
    const gradient = new Float64Array(x.length);
    const gradientOfW = gradient.subarray(0, classes * width);
    const gradientOfB = gradient.subarray(classes * width);
    let [loss, sumOfWeights] = [0, 0];
    for await (const { features, classes: y, weights: w = ones(y.length) } of blocks) {
      const { crossEntropy, dW, db } = await graph.gradient(features, targets.of(y), w, parameters);
      for (let i = 0; i < y.length; i++) {
        loss += (w[i] ?? 0) * (crossEntropy[i] ?? 0);
        sumOfWeights += w[i] ?? 0;
      }
      addScaled(gradientOfW, 1, dW);
      addScaled(gradientOfB, 1, db);
    }
    scale(gradient, 1 / sumOfWeights);
    addScaled(gradientOfW, l2, weights);
    return { loss: loss / sumOfWeights + (l2 / 2) * dot(weights, weights), gradient };
  };
}

/** W and b in float32 from the vector of parameters, W [classes × width] then b [classes]. */
export function toParameters(x: Float64Array, classes: number): Parameters {
  const split = x.length - classes;
  return { W: new Float32Array(x.subarray(0, split)), b: new Float32Array(x.subarray(split)) };
}

/** Makes the targets [rows × classes] of one block after another in the same memory. */
class Targets {
  private memory = new Float32Array(0);
  private places: number[] = [];

  constructor(
    private readonly classes: number,
    private readonly smoothing: number,
    private readonly sets: LabelSets | undefined,
  ) {}

  of(y: Int32Array): Float32Array {
    const { classes, smoothing, sets } = this;
    const everywhere = smoothing / (sets ? 2 : classes);
    for (const place of this.places) this.memory[place] = everywhere;
    this.places = [];
    for (const [i, c] of y.entries()) {
      if (!sets) this.places.push(i * classes + c);
      else for (const n of sets[c] ?? []) this.places.push(i * classes + n);
    }
    if (this.memory.length < y.length * classes) {
      this.memory = new Float32Array(y.length * classes).fill(everywhere);
    }
    for (const place of this.places) this.memory[place] = 1 - smoothing + everywhere;
    return this.memory.subarray(0, y.length * classes);
  }
}

const ONES = new Float32Array(MOST_ROWS).fill(1);

function ones(length: number): Float32Array {
  return length <= MOST_ROWS ? ONES.subarray(0, length) : new Float32Array(length).fill(1);
}
