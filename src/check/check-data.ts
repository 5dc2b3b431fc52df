import type { Split } from '../data/dataset.js';
import {
  withDatasetEmbeddings,
  type DatasetEmbeddings,
  type ListedPicture,
  type Selection,
  type StoredPicture,
} from '../store/dataset-rows.js';
import { findDuplicates } from './duplicates.js';
import { type Finding, ISSUES } from './finding.js';
import { findLabelErrors } from './label-errors.js';
import { nearestNeighbours, type NeighbourOptions, type Neighbours } from './neighbours.js';
import { findOddPictures, findOutliers } from './pictures.js';

/** Neighbours of each picture: enough that a few pictures that do not belong here, but resemble each other, still are outliers. */
const K = 30;

export interface CheckDataOptions extends Omit<Selection, 'views'> {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: CheckProgress) => void) | undefined;
}

export interface CheckProgress {
  phase: 'neighbours' | 'labels';
  done: number;
  /** Undefined if unknown. */
  total: number | undefined;
}

export interface DataCheck {
  /** Absolute path of the data set. */
  dataset: string;
  modelId: string;
  /** All pictures, by path: readable or not, labelled or not. */
  pictures: ListedPicture[];
  classes: ClassCount[];
  /** The most serious issue first; within an issue, the clearest finding first. */
  findings: Finding[];
  /** About the data set as a whole, one sentence each. */
  warnings: string[];
}

/**
 * Finds what may be wrong with a data set: duplicates and near duplicates, within and across splits; labels that are
 * probably wrong; pictures that are unlike all others, nearly empty, tiny or grey; classes with few pictures. Everything
 * comes from the cached embeddings and fingerprints. No picture is opened.
 * @throws {LastlayerError} if the store has no such data set
 * @throws the signal's reason, once it aborts
 */
export async function checkData(options: CheckDataOptions = {}): Promise<DataCheck> {
  return withDatasetEmbeddings({ ...options, views: [] }, (pictures) => checkEmbeddings(pictures, options), {
    unlabelled: true,
    fingerprints: true,
  });
}

async function checkEmbeddings(
  pictures: DatasetEmbeddings,
  { signal, onProgress }: CheckDataOptions,
): Promise<DataCheck> {
  const { record, rows, multilabel, failed } = pictures;
  const progressOf = (phase: CheckProgress['phase']) => (done: number, total?: number) => {
    onProgress?.({ phase, done, total });
  };
  const neighbours = await neighboursToCheck(pictures, { onProgress: progressOf('neighbours'), signal });
  const duplicates = findDuplicates(pictures, neighbours);
  const labels = await findLabelErrors(pictures, {
    sets: duplicates.sets,
    onFit: progressOf('labels'),
    signal,
  });
  const classes = countClasses(pictures);
  const findings: Finding[] = [
    ...duplicates.findings,
    ...labels.findings,
    ...findOutliers(pictures, neighbours),
    ...findOddPictures(pictures),
    ...failed.map(({ path, error }): Finding => ({ issue: 'unreadable', path, score: 1, detail: error })),
  ];
  return {
    dataset: record.dataset,
    modelId: record.model_id,
    pictures: [...rows, ...failed]
      .map(({ path, label, labels: list, split, group, weight }) => ({
        path,
        label,
        labels: list,
        split,
        group,
        weight,
      }))
      .sort((a, b) => (a.path < b.path ? -1 : 1)),
    classes,
    findings: findings.sort(
      (a, b) => ISSUES.indexOf(a.issue) - ISSUES.indexOf(b.issue) || b.score - a.score || (a.path < b.path ? -1 : 1),
    ),
    warnings: [...balanceWarnings(classes, multilabel), ...(labels.notice === undefined ? [] : [labels.notice])],
  };
}

/** The neighbours that the checks go by: of the first picture of each content. */
export async function neighboursToCheck(
  { rows, source }: Pick<DatasetEmbeddings, 'rows' | 'source'>,
  options: Pick<NeighbourOptions, 'signal' | 'onProgress'>,
): Promise<Neighbours> {
  const isFirst = firstOfContent(rows);
  return nearestNeighbours(source, rows.length, { ...options, mask: (row) => isFirst[row] === 1, k: K });
}

function firstOfContent(rows: readonly StoredPicture[]): Uint8Array {
  const seen = new Set<string>();
  return Uint8Array.from(rows, ({ digest }) => (seen.has(digest) ? 0 : (seen.add(digest), 1)));
}

/** Classes are imbalanced if the largest has this many times the pictures of the smallest. */
const UNBALANCED = 10;

/** A class with fewer pictures is hard to learn, and cannot be evaluated. */
const FEW = 10;

/** How many pictures a class or a label has. */
export interface ClassCount {
  label: string;
  count: number;
  /** Pictures without a split are counted under `none`. */
  splits: Partial<Record<Split | 'none', number>>;
}

/** Pictures of each label, the most frequent first. */
function countClasses({ rows }: DatasetEmbeddings): ClassCount[] {
  const counts = new Map<string, ClassCount>();
  for (const { label: one, labels = one === undefined ? [] : [one], split = 'none' } of rows) {
    for (const label of labels) {
      const found = counts.get(label) ?? { label, count: 0, splits: {} };
      found.count++;
      found.splits[split] = (found.splits[split] ?? 0) + 1;
      counts.set(label, found);
    }
  }
  return [...counts.values()].sort((a, b) => b.count - a.count || (a.label < b.label ? -1 : 1));
}

/** What is wrong with the numbers of pictures, one sentence each. @param multilabel lists of labels, for which imbalance is normal */
function balanceWarnings(classes: readonly ClassCount[], multilabel: boolean): string[] {
  const [largest, smallest] = [classes[0], classes.at(-1)];
  if (!largest || !smallest) return [];
  const warnings: string[] = [];
  const ratio = largest.count / smallest.count;
  if (ratio >= UNBALANCED && !multilabel) {
    warnings.push(
      `The classes are imbalanced: ${largest.label} has ${largest.count} pictures, ${Math.round(ratio)} times as many as ` +
        `${smallest.label}. Train with --class-weights balanced, or add pictures.`,
    );
  }
  const few = classes.filter(({ count }) => count < FEW);
  if (few.length > 0) warnings.push(`Fewer than ${FEW} pictures: ${named(few)}.`);
  const unlearnt = classes.filter(({ splits }) => !splits.train && !splits.none);
  if (unlearnt.length > 0) warnings.push(`In no training split, so never trained on: ${named(unlearnt)}.`);
  return warnings;
}

function named(classes: readonly ClassCount[]): string {
  const shown = classes.slice(0, 10).map(({ label, count }) => `${label} (${count})`);
  return shown.join(', ') + (classes.length > 10 ? ` and ${classes.length - 10} more` : '');
}
