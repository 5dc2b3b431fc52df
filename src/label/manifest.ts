import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { openDataset } from '../data/open.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import { readRegularFile, writeWholeFiles } from '../util/files.js';
import { csvLine, labelList } from '../util/format.js';
import { sha256Of } from '../util/hash.js';
import { pathBeside } from './places.js';
import type { LabelState, PictureValue } from './state.js';

/** Rows that are put into words at a time, so that requests are answered in between. */
const ROWS_AT_A_TIME = 1000;

/** What the manifest says of the pictures at one moment. */
export interface ManifestContent {
  /** The number of each picture's value; [M]. */
  valueOf: Int32Array;
  /** Names of the classes. */
  names: readonly string[];
}

/** A copy of what the manifest says now. */
export function contentOf(state: LabelState): ManifestContent {
  return { valueOf: state.valueOf.slice(), names: state.classes.map(({ name }) => name) };
}

/**
 * Writes the manifest: a row for each picture that is not left out, with the columns path, label or labels, and split, group and
 * weight if any picture has them. With lists of labels, pictures that nobody has looked at are left out too, since an empty list
 * says that a picture has none of the labels.
 * @param paths of the pictures, absolute; [M]
 * @param beforeNaming called with the sha256 of the new manifest, once it is on the disk, before it takes its name
 * @throws {LastlayerError} if it cannot be written
 */
export async function writeManifest(
  path: string,
  paths: readonly string[],
  state: LabelState,
  content: ManifestContent,
  beforeNaming: (sha256: string) => Promise<void>,
): Promise<void> {
  const hash = createHash('sha256');
  const write = async (temporary: string) => {
    const chunks: Buffer[] = [];
    for await (const text of textOf(path, paths, state, content)) {
      const chunk = Buffer.from(text);
      hash.update(chunk);
      chunks.push(chunk);
    }
    await writeFile(temporary, chunks, { flag: 'wx' });
  };
  try {
    await writeWholeFiles([{ path, content: write }], () => beforeNaming(hash.digest('hex')));
  } catch (error) {
    if (error instanceof LastlayerError) throw error;
    throw new LastlayerError(
      `The manifest ${path} cannot be written: ${messageOf(error)}. The journal beside it has everything; once that is put right, ` +
        'save again.',
    );
  }
}

async function* textOf(
  path: string,
  paths: readonly string[],
  state: LabelState,
  { valueOf, names }: ManifestContent,
): AsyncGenerator<string> {
  const folder = dirname(path);
  const used = [...new Set(valueOf)].map((number) => state.valueNumbered(number)).filter(({ leftOut }) => !leftOut);
  const columns = (['split', 'group', 'weight'] as const).filter((name) => used.some((value) => value[name] !== null));
  yield csvLine(['path', state.multilabel ? 'labels' : 'label', ...columns]);
  for (let start = 0; start < valueOf.length; start += ROWS_AT_A_TIME) {
    let text = '';
    for (let picture = start; picture < Math.min(valueOf.length, start + ROWS_AT_A_TIME); picture++) {
      const value = state.valueNumbered(valueOf[picture]!);
      if (!isListed(value, state.multilabel)) continue;
      const labels = value.labels.map((n) => names[n]!);
      text += csvLine([
        pathBeside(paths[picture]!, folder),
        state.multilabel ? labelList(labels) : labels[0],
        ...columns.map((name) => (value[name] === null ? undefined : String(value[name]))),
      ]);
    }
    await nextTurn();
    yield text;
  }
}

/** Whether the manifest has a row of a picture. */
function isListed({ leftOut, labelled }: PictureValue, multilabel: boolean): boolean {
  return !leftOut && (labelled || !multilabel);
}

/** A manifest's digest; undefined if there is no manifest. */
export async function digestOfManifest(path: string): Promise<string | undefined> {
  return readRegularFile(path).then(
    (bytes) => sha256Of(bytes),
    () => undefined,
  );
}

/** What somebody has changed in a manifest by hand, by the absolute paths of the pictures. Labels are names. */
export type ManifestEdit = Map<string, Partial<Omit<PictureValue, 'labels'>> & { labels?: readonly string[] }>;

/**
 * Compares a manifest with what was written last.
 * @param content what was written last
 * @throws {LastlayerError} if it cannot be read
 */
export async function readEdit(
  path: string,
  paths: readonly string[],
  numberOf: (path: string) => number | undefined,
  state: LabelState,
  { valueOf, names }: ManifestContent,
): Promise<ManifestEdit> {
  const changes: ManifestEdit = new Map();
  const listed = new Set<number>();
  for await (const entry of (await openDataset(path)).entries()) {
    const labels = entry.labels ?? (entry.label === undefined ? [] : [entry.label]);
    if (labels.length > 1 && !state.multilabel) {
      throw new LastlayerError(
        `${path}: ${entry.path} has ${labels.length} labels, but pictures of this session have one each. Leave it one.`,
      );
    }
    const said = {
      labels: [...labels].sort(),
      labelled: entry.labels !== undefined || entry.label !== undefined,
      leftOut: false,
      split: entry.split ?? null,
      group: entry.group ?? null,
      weight: entry.weight ?? null,
    };
    const number = numberOf(entry.path);
    if (number !== undefined) listed.add(number);
    // A picture that is new since then has no value yet.
    const before = number === undefined ? undefined : valueOf[number];
    const value = before === undefined ? undefined : state.valueNumbered(before);
    const known = value && { ...value, labels: value.labels.map((n) => names[n]!).sort() };
    const differing = Object.entries(said).filter(
      ([name, now]) => JSON.stringify(known?.[name as keyof typeof said]) !== JSON.stringify(now),
    );
    if (differing.length > 0) changes.set(entry.path, known ? Object.fromEntries(differing) : said);
  }
  valueOf.forEach((value, number) => {
    if (!listed.has(number) && isListed(state.valueNumbered(value), state.multilabel)) {
      changes.set(paths[number]!, { leftOut: true });
    }
  });
  return changes;
}
