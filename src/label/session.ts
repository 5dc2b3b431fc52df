import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Mutex } from 'async-mutex';
import { loadBackbone } from '../backbone/load.js';
import { BackbonePool } from '../backbone/pool.js';
import type { DatasetEntry } from '../data/dataset.js';
import { openDataset } from '../data/open.js';
import { embedDataset } from '../embed/embed.js';
import { HttpError } from '../server/errors.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import { fileExists } from '../util/files.js';
import { quantity } from '../util/format.js';
import { FileLock } from '../util/lock.js';
import { addition, newName, parseAction, problemOf, stepOf } from './actions.js';
import { EventStreams } from './events.js';
import { Journal, type JournalLine, lineOf, stepIn, type StepLine } from './journal.js';
import { contentOf, digestOfManifest, type ManifestContent, readEdit, writeManifest } from './manifest.js';
import type { LabelSettings } from './options.js';
import { type Embedder, embedMore, LabelPictures, readPictures } from './pictures.js';
import { journalOf, pathBeside, pathFrom, type Places, placesOf } from './places.js';
import type { ActionAnswer, ClassifierState, PictureColumns, PictureId, SaveAnswer, Session } from './protocol.js';
import { LabelState, NOTHING_SAID, type PictureValue, type Step } from './state.js';

/** The manifest is written this long after the last change, and at the latest so long after the first, in ms. */
const MANIFEST_AFTER = 1500;
const MANIFEST_AT_LATEST = 10_000;

/** One person's work on the labels of a data set: what there is, what is said of it, and the journal of both. */
export class LabelSession {
  readonly events: EventStreams;
  /** Changes are made one after the other. */
  private readonly turn = new Mutex();
  private readonly answers = new Map<string, ActionAnswer>();
  private seq = 0;
  private manifestDue: NodeJS.Timeout | undefined;
  private changedSince: number | undefined;

  private constructor(
    private readonly settings: LabelSettings,
    private readonly parts: {
      dataset: string;
      places: Places;
      lock: FileLock;
      journal: Journal;
      embedder: Embedder & { pool: BackbonePool };
      pictures: LabelPictures;
      state: LabelState;
    },
    lines: readonly StepLine[],
  ) {
    for (const { id, done } of lines) this.answers.set(id, { seq: ++this.seq, done });
    this.events = new EventStreams(this.seq);
  }

  /**
   * Embeds what is new, reads the journal, and goes on where it ends.
   * @throws {LastlayerError} if the data set, the store, the model or the files of the session cannot be used, or another process
   *   works on them
   */
  static async open(settings: LabelSettings): Promise<LabelSession> {
    const { dataset, places } = await locate(settings);
    const lock = await takeLock(places.journal);
    let pool: BackbonePool | undefined;
    try {
      await checkKind(dataset);
      const backbone = await loadBackbone(settings);
      pool = new BackbonePool(backbone);
      const embedder = { backbone, pool, store: settings.store };
      const { pictures, listed, multilabel } = await embed(dataset, embedder, settings);
      const opened = await Journal.open(places.journal, {
        dataset,
        multilabel: multilabel || settings.multilabel,
        labels: settings.labels.map(newName),
      });
      const { journal, header, lines, torn } = opened;
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
      const steps = await replay(state, pictures, {
        dataset,
        places,
        embedder,
        listed,
        labels: header.labels,
        lines,
        settings,
      });
      const session = new LabelSession(
        settings,
        { ...{ dataset, places, lock, journal, embedder, pictures, state } },
        steps.lines,
      );
      await session.takeIn(steps.written);
      await session.addClasses(settings.labels);
      return session;
    } catch (error) {
      await lock.release();
      await pool?.close();
      throw error;
    }
  }

  get manifest(): string {
    return this.parts.places.manifest;
  }

  /** Tells others who find the session taken where it is. */
  async tellAddress(url: string): Promise<void> {
    await this.parts.lock.note(url);
  }

  describe(): Session {
    const { state, dataset, embedder } = this.parts;
    return {
      dataset: this.settings.dataset === dataset ? dataset : this.settings.dataset,
      manifest: this.manifest,
      head: resolve(this.settings.head),
      model: embedder.backbone.name,
      multilabel: state.multilabel,
      seq: this.seq,
      classes: state.classInfo(),
      pictures: this.columns(0),
      classifier: this.classifier,
      canUndo: state.canUndo,
      canRedo: state.canRedo,
    };
  }

  get classifier(): ClassifierState {
    return {
      ...{
        status: 'waiting',
        version: 0,
        seq: this.seq,
        trainedOn: 0,
        evaluation: undefined,
        wanted: undefined,
        history: [],
      },
      verdict: 'Label two pictures of two classes, and the classifier begins to learn.',
    };
  }

  /** Where the bytes of a picture are. @throws {HttpError} 404 if there is no such picture */
  picture(id: PictureId): { path: string; digest: string; problem: string | null } {
    const { paths, digests, problems, size } = this.parts.pictures;
    if (!Number.isInteger(id) || id < 0 || id >= size) {
      throw new HttpError(404, 'unknown_picture', `There is no picture ${id}.`);
    }
    return { path: paths[id]!, digest: digests[id]!, problem: problems[id]! };
  }

  /**
   * Does what a client asks for, once.
   * @throws {HttpError} if the body is no action, or it cannot be done
   * @throws {LastlayerError} if it cannot be written to the journal; nothing is changed then
   */
  act(body: unknown): Promise<ActionAnswer> {
    const { id, action } = parseAction(body, this.parts.pictures.size);
    return this.turn.runExclusive(async () => {
      const answered = this.answers.get(id);
      if (answered) return answered;
      const { state } = this.parts;
      if (action.kind === 'undo' || action.kind === 'redo') return this.goBack(id, action.kind);
      return this.take(stepOf(state, action, id));
    });
  }

  /** Writes the manifest. */
  async save(): Promise<SaveAnswer> {
    await this.turn.runExclusive(() => this.writeManifestNow());
    return { manifest: this.manifest, head: null, next: [] };
  }

  /** Writes what is not written yet, and frees everything. */
  async close(): Promise<void> {
    await this.turn.runExclusive(() => this.writeManifestNow());
    this.events.close();
    await this.parts.journal.close();
    await this.parts.embedder.pool.close();
    await this.parts.lock.release();
  }

  private async take(step: Step, added: readonly string[] = []): Promise<ActionAnswer> {
    const { state, journal, pictures, places } = this.parts;
    if (step.pictures.length === 0 && step.classes.length === 0 && added.length === 0) {
      return this.remember(step.id, { seq: this.seq, done: `nothing changed` });
    }
    const folder = dirname(places.journal);
    const pathOf = (picture: number) => pathBeside(pictures.paths[picture]!, folder);
    await journal.append(lineOf(state, step, pathOf, added));
    const before = JSON.stringify(state.classInfo());
    state.take(step);
    return this.told(step, step.id, step.done, before);
  }

  private async goBack(id: string, way: 'undo' | 'redo'): Promise<ActionAnswer> {
    const { state, journal } = this.parts;
    const step = state.next(way);
    if (!step) throw new HttpError(409, 'conflict', `There is nothing to ${way}.`);
    const done = `${way === 'undo' ? 'undone' : 'done again'}: ${step.done}`;
    await journal.append({ id, at: new Date().toISOString(), kind: way, done });
    const before = JSON.stringify(state.classInfo());
    state[way]();
    return this.told(step, id, done, before);
  }

  /** Tells everybody of a step that was taken or undone. */
  private told(step: Step, id: string, done: string, classesBefore: string): ActionAnswer {
    const { state } = this.parts;
    const classes = state.classInfo();
    const values = Array.from(step.pictures, (picture) => state.value(picture));
    const answer = this.remember(id, { seq: ++this.seq, done });
    this.events.send({
      kind: 'change',
      ...{ seq: this.seq, done, id, canUndo: state.canUndo, canRedo: state.canRedo },
      classes: JSON.stringify(classes) === classesBefore ? null : classes,
      pictures: [...step.pictures],
      labels: values.map(({ labels }) => labels),
      labelled: values.map(({ labelled }) => labelled),
      leftOut: values.map(({ leftOut }) => leftOut),
      split: values.map(({ split }) => split),
    });
    this.planManifest();
    return answer;
  }

  private remember(id: string, answer: ActionAnswer): ActionAnswer {
    this.answers.set(id, answer);
    return answer;
  }

  private planManifest(): void {
    const now = Date.now();
    this.changedSince ??= now;
    clearTimeout(this.manifestDue);
    const wait = Math.min(MANIFEST_AFTER, this.changedSince + MANIFEST_AT_LATEST - now);
    this.manifestDue = setTimeout(
      () => {
        this.writeManifestNow().catch((error: unknown) => this.settings.onNotice?.(messageOf(error)));
      },
      Math.max(0, wait),
    );
  }

  private async writeManifestNow(): Promise<void> {
    clearTimeout(this.manifestDue);
    const { state, journal, pictures, places } = this.parts;
    if (this.changedSince === undefined && (await fileExists(places.manifest))) return;
    this.changedSince = undefined;
    const content = contentOf(state);
    await writeManifest(places.manifest, pictures.paths, state, content, (sha256) =>
      journal.append({ manifest: sha256 }),
    );
  }

  /** Reads in what somebody has changed in the manifest by hand since it was written. */
  private async takeIn({ digests, content }: Written): Promise<void> {
    const { places, state, pictures, embedder } = this.parts;
    const digest = await digestOfManifest(places.manifest);
    if (digest === undefined || digests.has(digest)) return;
    const edit = await readEdit(places.manifest, pictures.paths, (path) => pictures.numberOf(path), state, content);
    if (edit.size === 0) return;
    const unknown = [...edit.keys()].filter((path) => pictures.numberOf(path) === undefined);
    await embedMore(pictures, unknown, places.manifest, embedder);
    while (state.size < pictures.size) state.addPicture({ ...NOTHING_SAID, leftOut: true });
    const folder = dirname(places.journal);
    const changes = [...edit].map(([path, set]) => ({ set, pictures: [pathBeside(path, folder)] }));
    const line: StepLine = {
      id: `edit ${digest}`,
      at: new Date().toISOString(),
      kind: 'edit',
      done: `${quantity(edit.size, 'change')} in ${places.manifest}, made by hand`,
      changes,
    };
    const step = stepIn(
      state,
      line,
      (path) => pictures.numberOf(pathFrom(path, folder)),
      () => undefined,
    );
    await this.take(
      step,
      unknown.map((path) => pathBeside(path, folder)),
    );
    this.settings.onNotice?.(
      `${places.manifest} was changed by hand: ${quantity(edit.size, 'picture')} ${edit.size === 1 ? 'was' : 'were'} read in, as one ` +
        'step that can be undone.',
    );
  }

  /** Adds the classes that were named and are not there. */
  private async addClasses(names: readonly string[]): Promise<void> {
    const { state } = this.parts;
    const missing = names.map(newName).filter((name) => state.indexOf(name) === undefined);
    for (const name of missing) {
      const about = { id: `class ${name} ${Date.now()}`, kind: 'add-class', done: `class ${name} added` };
      await this.take(state.step(about, [], [addition(state, name)]));
    }
  }

  private columns(from: number): PictureColumns {
    const { pictures, state } = this.parts;
    const values = Array.from({ length: pictures.size - from }, (_, i) => state.value(from + i));
    return {
      name: pictures.names.slice(from),
      labels: values.map(({ labels }) => labels),
      labelled: values.map(({ labelled }) => labelled),
      split: values.map(({ split }) => split),
      leftOut: values.map(({ leftOut }) => leftOut),
      width: pictures.widths.slice(from),
      height: pictures.heights.slice(from),
      problem: pictures.problems.slice(from),
    };
  }
}

/** The data set that is meant, and the files of its session. */
async function locate({ dataset, out }: LabelSettings): Promise<{ dataset: string; places: Places }> {
  const given = resolve(dataset);
  // The manifest of an earlier session stands for that session.
  const journal = journalOf(given);
  const header = out === undefined && journal !== given ? await Journal.headerOf(journal) : undefined;
  if (header) return { dataset: header.dataset, places: { manifest: given, journal } };
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
  if (!['WebDataset shards', 'Parquet files', 'Lance table'].includes(layout)) return;
  throw new LastlayerError(
    `${dataset} (${layout}) cannot be labelled, since a manifest cannot name its pictures. Unpack them into a folder first.`,
  );
}

async function embed(
  dataset: string,
  { backbone, pool, store }: Embedder,
  { signal, onProgress }: LabelSettings,
): Promise<Awaited<ReturnType<typeof readPictures>>> {
  if (await isEmptyFolder(dataset)) {
    return { pictures: new LabelPictures(dataset, backbone.width, 0), listed: [], multilabel: false };
  }
  await embedDataset(dataset, {
    ...{ backbone, pool, store, signal },
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

/** Which manifests the session has written, and what the last of them said. */
interface Written {
  digests: Set<string>;
  content: ManifestContent;
}

interface ReplayOptions {
  dataset: string;
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
): Promise<{ lines: StepLine[]; written: Written }> {
  const folder = dirname(places.journal);
  const steps = lines.filter((line) => 'id' in line);
  const added = new Set(steps.flatMap((line) => line.added ?? []).map((path) => pathFrom(path, folder)));
  for (const label of labels) state.ensureClass(label);
  for (const label of labelsOf(listed)) state.ensureClass(label);
  listed.forEach((entry, number) => {
    state.addPicture(added.has(pictures.paths[number]!) ? { ...NOTHING_SAID, leftOut: true } : valueOf(entry, state));
  });
  const others = [...added].filter((path) => pictures.numberOf(path) === undefined);
  await embedMore(pictures, await existing(others), places.manifest, embedder);
  while (state.size < pictures.size) state.addPicture({ ...NOTHING_SAID, leftOut: true });

  const written: Written = { digests: new Set(), content: contentOf(state) };
  const gone = new Set<string>();
  for (const line of lines) {
    if ('manifest' in line) {
      written.digests.add(line.manifest);
      written.content = contentOf(state);
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
  return { lines: steps, written };
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
  for (const path of paths) if (/^https?:/i.test(path) || (await fileExists(path))) found.push(path);
  return found;
}
