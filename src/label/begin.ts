import { stat } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { loadBackbone } from '../backbone/load.js';
import { BackbonePool } from '../backbone/pool.js';
import type { DatasetEntry } from '../data/dataset.js';
import { openDataset } from '../data/open.js';
import { embedDataset } from '../embed/embed.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import { fileExists } from '../util/files.js';
import { quantity } from '../util/format.js';
import { FileLock } from '../util/lock.js';
import { newName, problemOf } from './actions.js';
import { Journal, type JournalLine, stepIn, type StepLine } from './journal.js';
import { contentOf, type ManifestContent } from './manifest.js';
import type { LabelSettings } from './options.js';
import { type Embedder, embedMore, LabelPictures, readPictures } from './pictures.js';
import { isAddress, journalOf, pathFrom, type Places, placesOf } from './places.js';
import { LabelState, NOT_YET_ADDED, type PictureValue } from './state.js';

/** What a session goes on with. */
export interface Begun {
  /** Absolute path. */
  dataset: string;
  places: Places;
  lock: FileLock;
  journal: Journal;
  embedder: Embedder & { pool: BackbonePool };
  pictures: LabelPictures;
  state: LabelState;
  /** The steps of the journal, undone ones and what undid them included. */
  steps: readonly StepLine[];
  written: Written;
  /** Classes that were named when the session first began. */
  namedBefore: readonly string[];
}

/** The sha256 of the manifests that the session has written, and what the last of them said. */
interface Written {
  digests: Set<string>;
  content: ManifestContent;
}

/**
 * Embeds what is new, reads the journal, and brings the labels to where it ends.
 * @throws {LastlayerError} if the data set, the store, the model or the files of the session cannot be used, or another process
 *   works on them
 * @throws the signal's reason, once it aborts
 */
export async function begin(settings: LabelSettings): Promise<Begun> {
  const { dataset, places } = await locate(settings);
  const labels = settings.labels.map(newName);
  const lock = await takeLock(places.journal);
  let pool: BackbonePool | undefined;
  let journal: Journal | undefined;
  try {
    await checkKind(dataset);
    const backbone = await loadBackbone(settings);
    pool = new BackbonePool(backbone);
    const embedder = { backbone, pool, store: settings.store };
    const { pictures, listed, multilabel } = await embed(dataset, embedder, settings);
    const opened = await Journal.open(places.journal, {
      dataset,
      multilabel: multilabel || settings.multilabel,
      labels,
    });
    journal = opened.journal;
    const { header, lines, torn } = opened;
    if (multilabel && !header.multilabel) {
      throw new LastlayerError(
        `${dataset} has lists of labels, but ${places.journal} is of a session with one label for each picture. Name another ` +
          'manifest with --out.',
      );
    }
    if (torn > 0) {
      settings.onNotice?.(
        `The last line of ${places.journal} was torn, by a crash in the middle of an action that was not done yet. It was cut off.`,
      );
    }
    const state = new LabelState(header.multilabel);
    const replayed = await replay(state, pictures, {
      places,
      embedder,
      listed,
      labels: header.labels,
      lines,
      settings,
    });
    const namedBefore = header.labels;
    return { dataset, places, lock, journal, embedder, pictures, state, namedBefore, ...replayed };
  } catch (error) {
    await journal?.close();
    await pool?.close();
    await lock.release();
    throw error;
  }
}

/** The data set that is meant, and the files of its session. */
export async function locate({ dataset, out }: LabelSettings): Promise<{ dataset: string; places: Places }> {
  const given = resolve(dataset);
  // The manifest of an earlier session stands for that session.
  if (out === undefined && extname(given).toLowerCase() === '.csv') {
    const journal = journalOf(given);
    const header = await Journal.headerOf(journal);
    if (header) return { dataset: header.dataset, places: { manifest: given, journal } };
  }
  return { dataset: given, places: placesOf(given, out) };
}

async function takeLock(journal: string): Promise<FileLock> {
  const taken = await FileLock.take(journal).catch((error: unknown) => {
    throw new LastlayerError(
      `The files of the session cannot be written beside the data set, in ${dirname(journal)}: ${messageOf(error)}. Name a manifest ` +
        'elsewhere with --out.',
    );
  });
  if (taken instanceof FileLock) return taken;
  const { path, note } = taken.heldBy;
  throw new LastlayerError(
    `These labels are being worked on already${note === '' ? '' : `, at ${note}`}. Open that address, or stop the server there. If ` +
      `it does not run any more, delete ${path}.`,
  );
}

/** Only pictures that are files or addresses of their own can be in a manifest. @throws {LastlayerError} if they are others */
async function checkKind(dataset: string): Promise<void> {
  const { layout } = await openDataset(dataset);
  const how = UNPACKING[layout];
  if (how === undefined) return;
  throw new LastlayerError(
    `${dataset} (${layout}) cannot be labelled, since a manifest cannot name pictures that are not files. ${how}, then label that ` +
      'folder.',
  );
}

/** How pictures come out of data sets in which they are no files of their own. */
const UNPACKING: Readonly<Record<string, string | undefined>> = {
  'WebDataset shards': 'Unpack the shards into a folder (tar -xf SHARD.tar -C FOLDER)',
  'Parquet files': 'Write the pictures to files of a folder, those of each label in a folder of its name',
  'Lance table': 'Write the pictures to files of a folder, those of each label in a folder of its name',
};

async function embed(
  dataset: string,
  { backbone, pool, store }: Embedder,
  { signal, onProgress }: LabelSettings,
): Promise<Awaited<ReturnType<typeof readPictures>>> {
  if (await isEmptyFolder(dataset)) {
    return { pictures: new LabelPictures(dataset, backbone.width, 0), listed: [], multilabel: false };
  }
  await embedDataset(dataset, {
    backbone,
    pool,
    store,
    signal,
    onProgress: ({ phase, done, total, embedded }) => {
      if (phase === 'embed') onProgress?.({ task: 'embedding', done, total, worked: embedded });
    },
  });
  return readPictures(dataset, { backbone, store });
}

/** A folder without pictures, into which some may be added. */
async function isEmptyFolder(dataset: string): Promise<boolean> {
  if (!(await stat(dataset)).isDirectory()) return false;
  for await (const _ of (await openDataset(dataset)).entries()) return false;
  return true;
}

interface ReplayOptions {
  places: Places;
  embedder: Embedder;
  listed: readonly Pick<DatasetEntry, 'label' | 'labels' | 'split' | 'group' | 'weight'>[];
  labels: readonly string[];
  lines: readonly JournalLine[];
  settings: LabelSettings;
}

/** Brings the state to where the journal ends. */
async function replay(
  state: LabelState,
  pictures: LabelPictures,
  { places, embedder, listed, labels, lines, settings }: ReplayOptions,
): Promise<Pick<Begun, 'steps' | 'written'>> {
  const folder = dirname(places.journal);
  const steps = lines.filter((line) => 'id' in line);
  const added = new Set(steps.flatMap((line) => line.added ?? []).map((path) => pathFrom(path, folder)));
  for (const label of labels) state.ensureClass(label);
  for (const label of labelsOf(listed)) state.ensureClass(label);
  listed.forEach((entry, number) => {
    state.addPicture(added.has(pictures.paths[number]!) ? NOT_YET_ADDED : valueOf(entry, state));
  });
  const others = [...added].filter((path) => pictures.numberOf(path) === undefined);
  for (const { facts, embedding } of await embedMore(await existing(others), places.manifest, embedder)) {
    pictures.add(facts, embedding);
    state.addPicture(NOT_YET_ADDED);
  }

  const digests = new Set<string>();
  let content = contentOf(state);
  const gone = new Set<string>();
  for (const line of lines) {
    if ('manifest' in line) {
      digests.add(line.manifest);
      content = contentOf(state);
    } else if (line.kind === 'undo' || line.kind === 'redo') state[line.kind]();
    else {
      const pictureOf = (path: string) => pictures.numberOf(pathFrom(path, folder));
      state.take(stepIn(state, line, pictureOf, (path) => gone.add(path)));
    }
  }
  if (gone.size > 0) {
    const [first] = gone;
    settings.onNotice?.(
      `${quantity(gone.size, 'picture')} of the journal ${gone.size === 1 ? 'is' : 'are'} no longer in the data set, such as ${first!}. ` +
        'What was said of them counts again once they are back.',
    );
  }
  return { steps, written: { digests, content } };
}

/** All labels of the data set, in code unit order. */
function labelsOf(listed: ReplayOptions['listed']): string[] {
  const labels = new Set(listed.flatMap(({ label, labels = [] }) => (label === undefined ? labels : [label])));
  for (const label of labels) {
    const problem = problemOf(label);
    if (problem === undefined) continue;
    throw new LastlayerError(
      `The label ${JSON.stringify(label)} cannot be written to a manifest: ${problem}. Rename it.`,
    );
  }
  return [...labels].sort();
}

function valueOf(
  { label, labels, split, group, weight }: ReplayOptions['listed'][number],
  state: LabelState,
): PictureValue {
  const names = labels ?? (label === undefined ? [] : [label]);
  return {
    labels: names.map((name) => state.ensureClass(name)).sort((a, b) => a - b),
    labelled: labels !== undefined || label !== undefined,
    leftOut: false,
    split: split ?? null,
    group: group ?? null,
    weight: weight ?? null,
    confirmed: [],
  };
}

async function existing(paths: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const path of paths) if (isAddress(path) || (await fileExists(path))) found.push(path);
  return found;
}
