import { randomUUID } from 'node:crypto';
import { rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Mutex } from 'async-mutex';
import { embedDataset } from '../embed/embed.js';
import { HttpError } from '../server/errors.js';
import { DEFAULT_HEAD, DEFAULT_STORE } from '../util/defaults.js';
import { asCalled, LastlayerError, messageOf } from '../util/errors.js';
import { fileExists } from '../util/files.js';
import { commandLine, quantity } from '../util/format.js';
import { sha256Of } from '../util/hash.js';
import { addition, newName, parseAction, stepOf } from './actions.js';
import { folderForNew, type NewFile, saveNew } from './add.js';
import { begin, type Begun } from './begin.js';
import { EventStreams } from './events.js';
import { lineOf, stepIn, type StepLine } from './journal.js';
import { Learning } from './learning.js';
import { contentOf, digestOfManifest, readEdit, writeManifest } from './manifest.js';
import type { LabelSettings } from './options.js';
import { type EmbeddedPicture, embedMore, sourceOf } from './pictures.js';
import { pathBeside, pathFrom } from './places.js';
import type {
  ActionAnswer,
  AddAnswer,
  LabelEvent,
  PictureColumns,
  PictureId,
  SaveAnswer,
  Session,
} from './protocol.js';
import { type ClassChange, NOT_YET_ADDED, type Step } from './state.js';
import { whyNotTrainable } from './trainable.js';

/** The manifest is written this long after the last change, and at the latest so long after the first, in ms. */
const MANIFEST_AFTER = 1500;
const MANIFEST_AT_LATEST = 10_000;

/** One person's work on the labels of a data set: what there is, what is said of it, and the journal of both. */
export class LabelSession {
  /** See {@link Session.start}. */
  readonly start = randomUUID();
  readonly events: EventStreams;
  readonly learning: Learning;
  /** Changes are made one after the other, */
  private readonly turn = new Mutex();
  /** and so is what takes long: adding pictures, */
  private readonly adding = new Mutex();
  /** and saving. */
  private readonly saving = new Mutex();
  /** By the ids of actions. */
  private readonly answers = new Map<string, ActionAnswer>();
  private readonly added = new Map<string, AddAnswer>();
  private seq = 0;
  private manifestDue: NodeJS.Timeout | undefined;
  /** Since when the manifest lacks something, in ms. */
  private changedSince: number | undefined;
  /** The sha256 of the manifest that somebody has edited, once that is taken over, and until it is written anew. */
  private takenIn: string | undefined;
  /** The last change that the head which was saved last has learnt from; −1 if there is none. */
  private savedSeq: number;

  private constructor(
    private readonly settings: LabelSettings,
    private readonly begun: Begun,
  ) {
    for (const { id, done } of begun.steps) this.answers.set(id, { seq: ++this.seq, done });
    this.savedSeq = this.seq;
    this.events = new EventStreams(this.seq);
    const { pictures, state, embedder } = begun;
    this.learning = new Learning({
      pictures,
      state,
      identity: { modelId: embedder.backbone.id, transformId: embedder.backbone.transformId },
      seq: () => this.seq,
      isWaiting: () => state.classInfo().filter(({ count }) => count > 0).length < (state.multilabel ? 1 : 2),
      onClassifier: (classifier) => {
        this.events.send({ kind: 'classifier', classifier });
      },
      onProgress: (task, done, total) => {
        this.events.send({ kind: 'progress', task, done, total });
      },
      onFailure: (message) => settings.onNotice?.(message),
    });
  }

  /** @throws as {@link begin} does */
  static async open(settings: LabelSettings): Promise<LabelSession> {
    const begun = await begin(settings);
    const session = new LabelSession(settings, begun);
    try {
      if (!(await session.hasHeadOfNow())) session.savedSeq = -1;
      await session.takeIn();
      await session.addClasses(settings.labels);
      return session;
    } catch (error) {
      await session.release();
      throw error;
    }
  }

  get manifest(): string {
    return this.begun.places.manifest;
  }

  get journal(): string {
    return this.begun.places.journal;
  }

  get head(): string {
    return resolve(this.settings.head);
  }

  /** Whether there is a head that was written after the last step of the journal. */
  private async hasHeadOfNow(): Promise<boolean> {
    const { at } = this.begun.steps.at(-1) ?? {};
    const written = await stat(this.head).catch(() => undefined);
    return written !== undefined && (at === undefined || written.mtimeMs >= Date.parse(at));
  }

  /** Begins to learn, and tells others who find the session taken where it is. */
  async serveAt(url: string): Promise<void> {
    this.learning.changed();
    await this.begun.lock.note(url);
  }

  describe(): Omit<Session, 'port'> {
    const { state, dataset, embedder } = this.begun;
    return {
      start: this.start,
      dataset,
      manifest: this.manifest,
      head: this.head,
      model: embedder.backbone.name,
      multilabel: state.multilabel,
      seq: this.seq,
      classes: state.classInfo(),
      pictures: this.columns(0),
      classifier: this.learning.classifier,
      canUndo: state.canUndo,
      canRedo: state.canRedo,
    };
  }

  /** Where the bytes of a picture are. @throws {HttpError} 404 if there is no such picture */
  picture(id: PictureId) {
    const { paths, digests, problems, size } = this.begun.pictures;
    if (!Number.isInteger(id) || id < 0 || id >= size) {
      throw new HttpError(404, 'unknown_picture', `There is no picture ${id}.`);
    }
    const path = paths[id]!;
    return { number: id, path, source: sourceOf(path), digest: digests[id]!, problem: problems[id] ?? null };
  }

  /**
   * Does what a client asks for, once.
   * @throws {HttpError} if the body is no action, or it cannot be done
   * @throws {LastlayerError} if it cannot be written to the journal; nothing is changed then
   */
  act(body: unknown): Promise<ActionAnswer> {
    const { id, action } = parseAction(body, this.begun.state.size);
    return this.turn.runExclusive(async () => {
      const answered = this.answers.get(id);
      if (answered) return answered;
      if (action.kind === 'undo' || action.kind === 'redo') return this.goBack(id, action.kind);
      return this.take(stepOf(this.begun.state, action, id));
    });
  }

  /**
   * Saves files under the data set's folder, embeds them and adds them, as one step.
   * @param label undefined for none
   * @throws {HttpError} if the label cannot be one
   * @throws {LastlayerError} if they cannot be written or embedded
   */
  add(id: string, label: string | undefined, files: AsyncIterable<NewFile>): Promise<AddAnswer> {
    const name = label === undefined ? undefined : newName(label);
    return this.adding.runExclusive(async () => {
      const answered = this.added.get(id);
      if (answered) return answered;
      const saved: string[] = [];
      try {
        const refused = await this.saveFiles(name, files, saved);
        const answer = { ...(await this.takeSaved(id, name, saved)), refused };
        this.added.set(id, answer);
        return answer;
      } catch (error) {
        // No picture stays that the session does not know of, and none is there twice once it is added again.
        for (const path of saved) await rm(path, { force: true });
        throw error;
      }
    });
  }

  /** Saves, if something has changed since the head was saved or there is none. @returns null if nothing has */
  async saveUnsaved(): Promise<SaveAnswer | null> {
    await this.saving.waitForUnlock();
    return this.savedSeq === this.seq ? null : this.save();
  }

  /** The pictures that have labels, or are known to have none. */
  *labelled(): Generator<{ path: string; labels: string[] }> {
    const { pictures, state } = this.begun;
    for (let picture = 0; picture < state.size; picture++) {
      const { labels, labelled, leftOut } = state.value(picture);
      if (labelled && !leftOut)
        yield { path: pictures.paths[picture]!, labels: labels.map((n) => state.classes[n]!.name) };
    }
  }

  get multilabel(): boolean {
    return this.begun.state.multilabel;
  }

  get dataset(): string {
    return this.begun.dataset;
  }

  /**
   * Writes the manifest, embeds it into the store, and trains and writes the head as `train-head` would.
   * @throws {LastlayerError} if something cannot be written
   * @throws the signal's reason, once it aborts
   */
  save(signal?: AbortSignal): Promise<SaveAnswer> {
    return this.saving.runExclusive(async () => {
      const { state, embedder } = this.begun;
      const { seq, withoutHead } = await this.turn.runExclusive(async () => {
        await this.writeManifestNow();
        return {
          seq: this.seq,
          withoutHead: whyNotTrainable(state, (picture) => this.begun.pictures.problems[picture] === null),
        };
      });
      const { manifest, head } = this;
      if (withoutHead !== undefined) return { manifest, head: null, withoutHead, next: this.next(false) };
      try {
        await embedDataset(manifest, {
          ...embedder,
          signal,
          onProgress: ({ phase, done, total }) => {
            if (phase === 'embed' && done % 100 === 0)
              this.events.send({ kind: 'progress', task: 'saving', done, total: total + 1 });
          },
        });
        const argument = { store: embedder.store, dataset: manifest, model: embedder.backbone.id, head };
        const { accuracy } = await this.learning.train(argument, signal);
        this.savedSeq = seq;
        return { manifest, head: { path: head, accuracy }, withoutHead: undefined, next: this.next(true) };
      } finally {
        this.events.send({ kind: 'progress', task: 'saving', done: 1, total: 1 });
      }
    });
  }

  /** Writes what is not written yet but the head, and frees everything. */
  async close(): Promise<void> {
    try {
      await this.turn.runExclusive(() => this.writeManifestNow());
    } finally {
      await this.release();
    }
  }

  private async release(): Promise<void> {
    const { journal, embedder, lock } = this.begun;
    clearTimeout(this.manifestDue);
    this.events.close();
    await this.learning.close();
    await journal.close();
    await embedder.pool.close();
    await lock.release();
  }

  private async take(step: Step, added: readonly string[] = []): Promise<ActionAnswer> {
    const { state, journal } = this.begun;
    if (step.pictures.length === 0 && step.classes.length === 0 && added.length === 0) {
      return this.remember(step.id, { seq: this.seq, done: 'nothing changed' });
    }
    await journal.append(lineOf(state, step, (picture) => this.pathInJournal(picture), added));
    const before = JSON.stringify(state.classInfo());
    state.take(step);
    return this.changed(step.id, step.done, before, this.changeOf(step));
  }

  private async goBack(id: string, way: 'undo' | 'redo'): Promise<ActionAnswer> {
    const { state, journal } = this.begun;
    const step = state.next(way);
    if (!step) throw new HttpError(409, 'conflict', `There is nothing to ${way}.`);
    const done = `${way === 'undo' ? 'undone' : 'done again'}: ${step.done}`;
    await journal.append({ id, at: new Date().toISOString(), kind: way, done });
    const before = JSON.stringify(state.classInfo());
    state[way]();
    return this.changed(id, done, before, this.changeOf(step));
  }

  /** @param added their embeddings; none of them is among the pictures yet */
  private async takeAdded(
    id: string,
    label: string | undefined,
    added: readonly EmbeddedPicture[],
  ): Promise<Omit<AddAnswer, 'refused'>> {
    const { state, pictures, journal, places } = this.begun;
    if (added.length === 0) return { seq: this.seq, pictures: [] };
    const first = state.size;
    const numbers = added.map((_, i) => first + i);
    const known = label === undefined ? undefined : state.indexOf(label);
    const classes: ClassChange[] = label === undefined || known !== undefined ? [] : [addition(state, label)];
    const index = known ?? classes[0]?.index;
    const value = {
      ...NOT_YET_ADDED,
      leftOut: false,
      labelled: index !== undefined,
      labels: index === undefined ? [] : [index],
    };
    const done = `${quantity(added.length, 'picture')} added${label === undefined ? '' : ` to ${label}`}`;
    const folder = dirname(places.journal);
    const paths = added.map(({ facts: { path } }) => pathBeside(path, folder));
    // Before the pictures are there, so that nothing has to be taken back if the journal cannot be written.
    const set = { leftOut: false, ...(label !== undefined && { labelled: true, labels: [label] }) };
    const line: StepLine = {
      id,
      at: new Date().toISOString(),
      kind: 'add',
      done,
      added: paths,
      changes: [{ set, pictures: paths }],
      ...(classes.length > 0 && { classes: [{ from: null, to: label! }] }),
    };
    await journal.append(line);
    for (const { facts, embedding } of added) {
      pictures.add(facts, embedding);
      state.addPicture(NOT_YET_ADDED);
    }
    const before = JSON.stringify(state.classInfo());
    state.take(
      state.step(
        { id, kind: 'add', done },
        numbers.map((number) => [number, value] as const),
        classes,
      ),
    );
    const { seq } = this.changed(id, done, before, { kind: 'added', first, pictures: this.columns(first) });
    return { seq, pictures: numbers };
  }

  /** Embeds files that were saved, and adds them. */
  private async takeSaved(
    id: string,
    label: string | undefined,
    saved: readonly string[],
  ): Promise<Omit<AddAnswer, 'refused'>> {
    let done = 0;
    const tell = (count: number) => {
      this.events.send({ kind: 'progress', task: 'adding pictures', done: count, total: saved.length });
    };
    try {
      const embedded = await embedMore(saved, this.manifest, this.begun.embedder, () => {
        if (++done < saved.length) tell(done);
      });
      return await this.turn.runExclusive(() => this.takeAdded(id, label, embedded));
    } finally {
      if (saved.length > 0) tell(saved.length);
    }
  }

  /** @param saved gets the paths of those that were saved @returns those that were refused */
  private async saveFiles(
    label: string | undefined,
    files: AsyncIterable<NewFile>,
    saved: string[],
  ): Promise<AddAnswer['refused']> {
    const { dataset, pictures } = this.begun;
    const folder = await folderForNew(dataset, label);
    const numberOfContent = new Map(pictures.digests.map((digest, number) => [digest, number]));
    const refused: { name: string; reason: string }[] = [];
    for await (const file of files) {
      const digest = sha256Of(file.bytes);
      const known = numberOfContent.get(digest);
      if (known !== undefined) {
        refused.push({
          name: file.name,
          reason: `it is there already${known < 0 ? '' : `: ${pictures.names[known]!}`}`,
        });
        continue;
      }
      const found = await saveNew(folder, file).catch((error: unknown) => {
        throw new LastlayerError(
          `${file.name} cannot be saved in ${folder}: ${messageOf(error)}. Make room, and add it again.`,
        );
      });
      if ('refused' in found) refused.push({ name: file.name, reason: found.refused });
      else {
        numberOfContent.set(digest, -1);
        saved.push(found.path);
      }
    }
    return refused;
  }

  /** Counts a change, tells everybody of it, and has what depends on it brought up to date. */
  private changed(
    id: string,
    done: string,
    classesBefore: string,
    what:
      | Pick<LabelEvent & { kind: 'change' }, 'kind' | 'pictures' | 'labels' | 'labelled' | 'leftOut' | 'split'>
      | Pick<LabelEvent & { kind: 'added' }, 'kind' | 'first' | 'pictures'>,
  ): ActionAnswer {
    const { state } = this.begun;
    const classes = state.classInfo();
    const answer = this.remember(id, { seq: ++this.seq, done });
    this.events.send({
      seq: this.seq,
      done,
      id,
      canUndo: state.canUndo,
      canRedo: state.canRedo,
      classes: JSON.stringify(classes) === classesBefore ? null : classes,
      ...what,
    });
    this.planManifest();
    this.learning.changed();
    return answer;
  }

  private changeOf({ pictures }: Step) {
    const values = Array.from(pictures, (picture) => this.begun.state.value(picture));
    return {
      kind: 'change' as const,
      pictures: [...pictures],
      labels: values.map(({ labels }) => labels),
      labelled: values.map(({ labelled }) => labelled),
      leftOut: values.map(({ leftOut }) => leftOut),
      split: values.map(({ split }) => split),
    };
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
        this.turn
          .runExclusive(() => this.writeManifestNow())
          .catch((error: unknown) => this.settings.onNotice?.(messageOf(error)));
      },
      Math.max(0, wait),
    );
  }

  private async writeManifestNow(): Promise<void> {
    const { state, journal, pictures, places, written } = this.begun;
    if (this.changedSince === undefined && (await fileExists(places.manifest))) return;
    await this.takeIn();
    clearTimeout(this.manifestDue);
    const content = contentOf(state);
    await writeManifest(places.manifest, pictures.paths, state, content, async (manifest) => {
      await journal.append({ manifest });
      written.digests.add(manifest);
    });
    written.content = content;
    this.changedSince = this.takenIn = undefined;
  }

  /** Reads in what somebody has changed in the manifest by hand since it was written. */
  private async takeIn(): Promise<void> {
    const { places, state, pictures, embedder } = this.begun;
    const { digests, content } = this.begun.written;
    const digest = await digestOfManifest(places.manifest);
    if (digest === undefined || digests.has(digest) || digest === this.takenIn) return;
    const edit = await readEdit(places.manifest, pictures.paths, (path) => pictures.numberOf(path), state, content);
    if (edit.size === 0) return;
    const unknown = [...edit.keys()].filter((path) => pictures.numberOf(path) === undefined);
    for (const { facts, embedding } of await embedMore(unknown, places.manifest, embedder)) {
      pictures.add(facts, embedding);
      state.addPicture(NOT_YET_ADDED);
    }
    const folder = dirname(places.journal);
    const line: StepLine = {
      id: `edit ${digest}`,
      at: new Date().toISOString(),
      kind: 'edit',
      done: `${quantity(edit.size, 'picture')} changed by hand in the manifest`,
      changes: [...edit].map(([path, set]) => ({ set, pictures: [pathBeside(path, folder)] })),
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
    this.takenIn = digest;
    this.settings.onNotice?.(
      `${places.manifest} was changed by hand since it was written. What it says of ${quantity(edit.size, 'picture')} was taken over, ` +
        'as one step that can be undone.',
    );
  }

  /** Adds the classes that were named now and never before: one that was removed or renamed does not come back. */
  private async addClasses(names: readonly string[]): Promise<void> {
    const { state, namedBefore } = this.begun;
    for (const name of names.map(newName)) {
      if (namedBefore.includes(name) || state.classes.some((each) => each.name === name)) continue;
      const about = { id: `class ${name} ${Date.now()}`, kind: 'add-class', done: `class ${name} added` };
      await this.take(state.step(about, [], [addition(state, name)]));
    }
  }

  private pathInJournal(picture: number): string {
    const { pictures, places } = this.begun;
    return pathBeside(pictures.paths[picture]!, dirname(places.journal));
  }

  private columns(from: number): PictureColumns {
    const { pictures, state } = this.begun;
    const values = Array.from({ length: state.size - from }, (_, i) => state.value(from + i));
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

  /** The commands to go on with. */
  private next(hasHead: boolean): string[] {
    const { head, store } = this.settings;
    const options = [
      ...(head === DEFAULT_HEAD ? [] : ['--head', head]),
      ...(store === DEFAULT_STORE ? [] : ['--store', store]),
    ];
    const commands = hasHead
      ? [
          ['predict', ...options.slice(0, head === DEFAULT_HEAD ? 0 : 2), 'PICTURES'],
          ['report', ...options],
        ]
      : [['label', this.manifest]];
    return commands.map(([name, ...words]) => asCalled(commandLine(name!, words)));
  }
}
