import { DEFAULT_STORE, type DatasetRecord } from '../embeddings/index.js';
import { LastlayerError } from '../errors.js';
import {
  DEFAULT_L2,
  Evaluation,
  holdOut,
  trainHead,
  type EvaluationResult,
  type Head,
  type Iteration,
} from '../head/index.js';
import { metricsJson } from './metrics-json.js';
import { readStoredEmbeddings, type Selection, type StoredEmbeddings } from './stored-embeddings.js';

const EVALUATION_BLOCK = 1024;

export interface TrainOptions extends Omit<Selection, 'store'> {
  /** Folder or address of the store. Default: `embeddings`. */
  store?: string;
  /** λ of the penalty λ/2 ‖W‖² on the weights of standardised features. */
  l2?: number;
  /** Where the data set has no validation split: the part of each class to hold out for validation, 0 for none. Default: 0.2. */
  holdOut?: number;
  signal?: AbortSignal;
  onIteration?: (progress: Iteration) => void;
}

export interface TrainedHead {
  head: Head;
  dataset: DatasetRecord;
  train: EvaluationResult;
  /** Undefined where nothing was kept for validation. */
  validation: EvaluationResult | undefined;
  /** Where the validation pictures come from. */
  validatedOn: 'validation split' | 'held-out part' | 'nothing';
  /** Pictures of the data set that were not used: unreadable, without a label, or of the test split. */
  unused: { failed: number; unlabelled: number; test: number };
}

/**
 * Trains a head on the stored embeddings of a data set, and measures it on the validation split or, where there is
 * none, on a part of each class that is held out: always the same part, and equal pictures never on both sides.
 * The test split is not touched.
 * @throws {LastlayerError} where there is nothing to train on: see `trainHead` and {@link readStoredEmbeddings}
 * @throws the signal's reason, once it aborts
 */
export async function trainFromStore(options: TrainOptions = {}): Promise<TrainedHead> {
  const { l2 = DEFAULT_L2, signal, onIteration } = options;
  const stored = await readStoredEmbeddings({ ...options, store: options.store ?? DEFAULT_STORE });
  const { record, failed, unlabelled, labels } = stored;
  if (labels.length === 0) {
    throw new LastlayerError(
      `${record.dataset} has no labelled pictures (${unlabelled} without a label, ${failed} unreadable). Put each ` +
        `picture in a folder named after its class, or give labels in a manifest.`,
    );
  }
  const parts = divide(stored, options.holdOut ?? 0.2);
  const trained = await trainHead({
    embeddings: rowsOf(stored, parts.train),
    width: record.width,
    labels: parts.train.map((i) => labels[i] ?? ''),
    modelId: record.model_id,
    transformId: record.transform_id,
    l2,
    ...(signal && { signal }),
    ...(onIteration && { onIteration }),
  });
  const train = evaluate(trained, stored, parts.train);
  const validation = parts.validation.length > 0 ? evaluate(trained, stored, parts.validation) : undefined;
  const head = trained.with({
    counts: {
      train: trained.counts.train,
      validation: validation
        ? validation.perClass.map(({ support }) => support)
        : trained.labels.map(() => 0),
    },
    metrics: { train: metricsJson(train), validation: validation ? metricsJson(validation) : null },
  });
  const test = stored.splits.filter((split) => split === 'test').length;
  return {
    head,
    dataset: record,
    train,
    validation,
    validatedOn: parts.from,
    unused: { failed, unlabelled, test },
  };
}

interface Parts {
  train: number[];
  validation: number[];
  from: TrainedHead['validatedOn'];
}

/** Pictures without a split train, unless they are held out. */
function divide({ splits, labels, contents }: StoredEmbeddings, fraction: number): Parts {
  const indices = splits.map((_, i) => i);
  const train = indices.filter((i) => splits[i] === 'train' || splits[i] === undefined);
  const validation = indices.filter((i) => splits[i] === 'val');
  if (validation.length > 0) return { train, validation, from: 'validation split' };
  if (fraction === 0) return { train, validation: [], from: 'nothing' };
  const held = holdOut({
    labels: train.map((i) => labels[i] ?? ''),
    ids: train.map((i) => contents[i] ?? ''),
    fraction,
  });
  const original = (i: number) => train[i] ?? 0;
  return {
    train: held.train.map(original),
    validation: held.validation.map(original),
    from: 'held-out part',
  };
}

function rowsOf({ embeddings, record: { width } }: StoredEmbeddings, rows: readonly number[]): Float32Array {
  const chosen = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    chosen.set(embeddings.subarray(row * width, (row + 1) * width), i * width);
  });
  return chosen;
}

function evaluate(head: Head, stored: StoredEmbeddings, rows: readonly number[]): EvaluationResult {
  const evaluation = new Evaluation(head.labels);
  for (let start = 0; start < rows.length; start += EVALUATION_BLOCK) {
    const block = rows.slice(start, start + EVALUATION_BLOCK);
    const probabilities = head.predictProba(rowsOf(stored, block));
    for (const [i, row] of block.entries()) {
      const label = stored.labels[row] ?? '';
      const index = head.indexOf(label);
      if (index === undefined) evaluation.addUnknown(label);
      else evaluation.add(index, probabilities.getRow(i));
    }
  }
  return evaluation.result();
}
