import type { DatasetEntry, PictureState } from '../data/dataset.js';
import { stateOf } from '../data/read.js';
import type { View } from '../image/views.js';
import { type KnownRow, listedAs, type RowStore } from '../store/row.js';
import { messageOf } from '../util/errors.js';

/** A picture of the data set as it is now. */
export interface Picture extends PictureState {
  entry: DatasetEntry;
  /** Set if the picture has not changed but lacks views: its digest, and the views that the store has. */
  known?: { sha256: string; views: readonly string[] } | undefined;
}

/** What to do about a picture. */
type Step<Row extends KnownRow> =
  | { kind: 'unchanged'; rows: [Row, ...Row[]] }
  /** The same file, of another data set, or listed differently: another label, split, group or weight. */
  | { kind: 'relabel'; picture: Picture; sha256: string }
  /** `sizeKnown`: the store has a file of this size, so it may have this very content. */
  | { kind: 'read'; picture: Picture; sizeKnown: boolean }
  | { kind: 'unusable'; entry: DatasetEntry; error: string };

/**
 * Compares a data set with the store by path, size and time of change. Files that have not changed are not opened, unless they lack
 * views.
 * @param viewsOf the augmented views that a picture should have
 */
export async function* diff<Row extends KnownRow>(
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
    const sizes = steps.flatMap((step) => (step.kind === 'read' ? (step.picture.size ?? []) : []));
    const knownSizes = sizes.length > 0 ? await table.knownSizes(sizes) : new Set();
    for (const step of steps) {
      yield step.kind === 'read'
        ? { ...step, sizeKnown: step.picture.size === null || knownSizes.has(step.picture.size) }
        : step;
    }
  }
}

/** Pictures that are looked up in the store together. */
const WINDOW = 256;

/** The first window is smaller, so that the first picture does not have to wait. */
const FIRST_WINDOW = 32;

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

async function stepFor<Row extends KnownRow>(
  entry: DatasetEntry,
  rows: [Row, ...Row[]] | undefined,
  dataset: string,
  views: readonly View[],
): Promise<Step<Row>> {
  const row = rows?.[0];
  const sha256 = row?.sha256 ?? null;
  let state;
  try {
    state = await stateOf(entry, row !== undefined);
  } catch (error) {
    return { kind: 'unusable', entry, error: messageOf(error) };
  }
  const { size, modified } = state;
  const picture = { entry, size, modified };
  // A row without a digest is of a file that could not be read, which is worth another try.
  const isSame = modified !== null && row?.modified === modified && (size === null || row.size === size);
  if (!rows || !row || sha256 === null || !isSame) return { kind: 'read', picture, sizeKnown: false };
  const listed = listedAs(entry);
  const listedAsBefore =
    row.dataset === dataset &&
    (['label', 'labels', 'split', 'group', 'weight'] as const).every((name) => row[name] === listed[name]);
  if (!listedAsBefore) return { kind: 'relabel', picture, sha256 };
  const present = rows.map(({ view }) => view);
  if (row.error !== null || views.every((view) => present.includes(view))) return { kind: 'unchanged', rows };
  return { kind: 'read', picture: { ...picture, known: { sha256, views: present } }, sizeKnown: true };
}
