import type { DatasetEntry } from '../data/dataset.js';
import { stateOf } from '../data/read.js';
import type { View } from '../image/views.js';
import { type KnownRow, listedAs, type RowStore } from '../store/row.js';
import { messageOf } from '../util/errors.js';

/** Pictures that are looked up in the store at a time. */
const WINDOW = 256;

/** Of the first, so that the first picture is not kept waiting. */
const FIRST_WINDOW = 32;

/** A picture of the data set as it is now. */
export interface Picture {
  entry: DatasetEntry;
  /** Bytes; null where only reading it tells. */
  size: number | null;
  /** Milliseconds since 1970; null where that is unknown. */
  modified: number | null;
  /** The rows that the table has of this very picture, and which of its views they are of, where some are missing. */
  known?: { sha256: string; views: readonly string[] } | undefined;
}

/** What is to be done about a picture. */
type Step<Row extends KnownRow> =
  | { kind: 'unchanged'; rows: [Row, ...Row[]] }
  /** The same file under another label or labels, split, group, weight or data set. */
  | { kind: 'relabel'; picture: Picture; sha256: string }
  /** `sizeKnown`: the store has a file of this size, so maybe this very content. */
  | { kind: 'read'; picture: Picture; sizeKnown: boolean }
  | { kind: 'unusable'; entry: DatasetEntry; error: string };

/**
 * Compares a data set with the store, a window of files at a time, by path, size and time of change: files that did
 * not change are not opened, unless views of them are missing.
 * @param viewsOf the further views that a picture should have
 */
export async function* plan<Row extends KnownRow>(
  entries: AsyncIterable<DatasetEntry>,
  table: RowStore<Row>,
  dataset: string,
  viewsOf: (entry: DatasetEntry) => readonly View[],
): AsyncGenerator<Step<Row>> {
  for await (const window of windowsOf(entries)) {
    const known = await table.known(
      window.map(({ path }) => path),
      dataset,
    );
    const steps = await Promise.all(
      window.map((entry) => stepFor(entry, known.get(entry.path), dataset, viewsOf(entry))),
    );
    const sizes = steps.flatMap((step) =>
      step.kind === 'read' && step.picture.size !== null ? [step.picture.size] : [],
    );
    const knownSizes = sizes.length > 0 ? await table.knownSizes(sizes) : new Set();
    for (const step of steps) {
      yield step.kind === 'read'
        ? { ...step, sizeKnown: step.picture.size === null || knownSizes.has(step.picture.size) }
        : step;
    }
  }
}

async function stepFor<Row extends KnownRow>(
  entry: DatasetEntry,
  rows: [Row, ...Row[]] | undefined,
  dataset: string,
  views: readonly View[],
): Promise<Step<Row>> {
  const [row] = rows ?? [];
  let state;
  try {
    state = await stateOf(entry, row !== undefined);
  } catch (error) {
    return { kind: 'unusable', entry, error: messageOf(error) };
  }
  const { size, modified } = state;
  const picture = { entry, size, modified };
  // Without a digest the file could not be read last time, which may have passed.
  const isSame =
    row !== undefined &&
    modified !== null &&
    row.modified === modified &&
    (size === null || row.size === size);
  if (!rows || !row || row.sha256 === null || !isSame) return { kind: 'read', picture, sizeKnown: false };
  const listed = listedAs(entry);
  const listedAsBefore =
    row.dataset === dataset &&
    (['label', 'labels', 'split', 'group', 'weight'] as const).every((name) => row[name] === listed[name]);
  const { sha256, error } = row;
  if (!listedAsBefore) return { kind: 'relabel', picture, sha256 };
  const present = rows.map(({ view }) => view);
  if (error !== null || views.every((view) => present.includes(view))) return { kind: 'unchanged', rows };
  return { kind: 'read', picture: { ...picture, known: { sha256, views: present } }, sizeKnown: true };
}

async function* windowsOf(entries: AsyncIterable<DatasetEntry>): AsyncGenerator<DatasetEntry[]> {
  let [window, size]: [DatasetEntry[], number] = [[], FIRST_WINDOW];
  for await (const entry of entries) {
    window.push(entry);
    if (window.length === size) {
      yield window;
      [window, size] = [[], WINDOW];
    }
  }
  if (window.length > 0) yield window;
}
