import { type FileHandle, open, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Mutex } from 'async-mutex';
import type { Split } from '../data/dataset.js';
import { codeOf, LastlayerError, messageOf } from '../util/errors.js';
import { readRegularFile } from '../util/files.js';
import { pathBeside, pathFrom } from './places.js';
import type { QueueName } from './protocol.js';
import type { ClassChange, ClassState, LabelState, PictureValue, Step } from './state.js';

/** The version of the journal's format. */
const FORMAT = 'lastlayer-labels-1';

/** The first line. */
export interface JournalHeader {
  /** Absolute path; in the file, relative to its folder if it lies below. */
  dataset: string;
  multilabel: boolean;
  /** Classes that were named at the start, whether or not a picture has them. */
  labels: readonly string[];
}

/** What is said of pictures from now on, and what stays as it is. Labels are names. */
interface Said extends Partial<Omit<PictureValue, 'labels' | 'split' | 'confirmed'>> {
  labels?: readonly string[];
  split?: Split | null;
  confirmed?: readonly QueueName[];
}

/** A line for a step. */
export interface StepLine {
  id: string;
  /** ISO 8601. */
  at: string;
  kind: string;
  /** In words. */
  done: string;
  /** The pictures by their paths, relative to the journal's folder if they lie below. */
  changes?: readonly { set: Said; pictures: readonly string[] }[];
  /** Names of classes before and after; null if there is none. */
  classes?: readonly { from: string | null; to: string | null }[];
  /** Paths of pictures that were new. */
  added?: readonly string[];
}

/** A line that says which manifest is about to be written: sha256 of its bytes. */
interface ManifestLine {
  manifest: string;
}

export type JournalLine = StepLine | ManifestLine;

/**
 * Everything that was done in a session, a line of JSON each. A line is on the disk before what it tells counts as done, and no line
 * is ever changed.
 */
export class Journal {
  private readonly turn = new Mutex();
  private broken: string | undefined;

  private constructor(
    readonly path: string,
    private readonly file: FileHandle,
    private length: number,
  ) {}

  /**
   * Opens a journal, and makes it if there is none.
   * @param header of a new one
   * @returns its lines, and how many bytes of a torn last one were cut off
   * @throws {LastlayerError} if it cannot be read or written, or is damaged other than at its end
   */
  static async open(
    path: string,
    header: JournalHeader,
  ): Promise<{ journal: Journal; header: JournalHeader; lines: JournalLine[]; torn: number }> {
    const found = await read(path);
    const { torn = 0, length = 0 } = found ?? {};
    try {
      if (torn > 0) await truncate(path, length);
      const file = await open(path, 'a');
      const journal = new Journal(path, file, length);
      if (found?.header) return { journal, ...found, header: found.header };
      const { dataset, ...others } = header;
      await journal.write({ format: FORMAT, dataset: pathBeside(dataset, dirname(path)), ...others });
      await syncFolder(dirname(path));
      return { journal, header, lines: [], torn };
    } catch (error) {
      if (error instanceof LastlayerError) throw error;
      throw new LastlayerError(
        `The journal ${path} cannot be written: ${messageOf(error)}. With --out, it is kept beside another manifest.`,
      );
    }
  }

  /** What session a journal belongs to; undefined if the file is none, or not there. */
  static async headerOf(path: string): Promise<JournalHeader | undefined> {
    return (await read(path).catch(() => undefined))?.header;
  }

  /**
   * Appends a line, and returns once it is on the disk.
   * @throws {LastlayerError} if it cannot be written; the journal is then as it was
   */
  append(line: JournalLine): Promise<void> {
    return this.write(line);
  }

  async close(): Promise<void> {
    await this.turn.runExclusive(() => this.file.close());
  }

  private async write(line: object): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    await this.turn.runExclusive(async () => {
      if (this.broken !== undefined) throw new LastlayerError(this.broken);
      try {
        await this.file.appendFile(bytes);
        await this.file.datasync();
        this.length += bytes.length;
      } catch (error) {
        const reason = `The journal ${this.path} cannot be written: ${messageOf(error)}.`;
        // Without a torn line in the way, the next action may find room.
        const isWhole = await this.file.truncate(this.length).then(
          () => true,
          () => false,
        );
        if (isWhole) throw new LastlayerError(`${reason} Nothing was changed.`);
        this.broken = `${reason} Its last line may be torn. Stop, make room, and start again.`;
        throw new LastlayerError(this.broken);
      }
    });
  }
}

async function read(
  path: string,
): Promise<{ header: JournalHeader | undefined; lines: JournalLine[]; torn: number; length: number } | undefined> {
  const bytes = await readRegularFile(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new LastlayerError(`The journal ${path} cannot be read: ${messageOf(error)}.`);
  });
  if (!bytes) return undefined;
  const parsed: object[] = [];
  let length = 0;
  while (length < bytes.length) {
    const end = bytes.indexOf(0x0a, length);
    const line = end < 0 ? undefined : parseLine(bytes.subarray(length, end));
    if (!line) break;
    parsed.push(line);
    length = end + 1;
  }
  const torn = bytes.length - length;
  if (parsed.length === 0 && !isTornHeader(bytes)) throw notAJournal(path);
  // A crash tears the last line alone. What follows a line that makes no sense was on the disk, and must not be cut off.
  if (bytes.subarray(length, -1).includes(0x0a)) {
    throw new LastlayerError(
      `The journal ${path} is damaged: line ${parsed.length + 1} is not JSON, and others follow it. Restore the file, or move it ` +
        'away to begin anew from the manifest beside it.',
    );
  }
  const [first, ...lines] = parsed;
  return { header: first && headerIn(first, path), lines: lines as JournalLine[], torn, length };
}

function parseLine(bytes: Uint8Array): object | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function headerIn(line: object, path: string): JournalHeader {
  const { format, dataset, multilabel, labels } = line as Partial<JournalHeader> & { format?: unknown };
  if (format === FORMAT && typeof dataset === 'string' && typeof multilabel === 'boolean' && Array.isArray(labels)) {
    return { dataset: pathFrom(dataset, dirname(path)), multilabel, labels };
  }
  throw notAJournal(path);
}

/** Whether a file without a whole line may be what a crash has left of a new journal. */
function isTornHeader(bytes: Uint8Array): boolean {
  const beginning = Buffer.from(JSON.stringify({ format: FORMAT }).slice(0, -1));
  const length = Math.min(bytes.length, beginning.length);
  return beginning.subarray(0, length).equals(bytes.subarray(0, length));
}

function notAJournal(path: string): LastlayerError {
  return new LastlayerError(
    `${path} is not a journal of this version of lastlayer. Move it away, or name another manifest with --out.`,
  );
}

/** So that the name of a new file is on the disk too. Windows cannot, and needs not. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}

/**
 * The line for a step.
 * @param pathOf a picture's path as the journal has it
 */
export function lineOf(
  state: LabelState,
  step: Step,
  pathOf: (picture: number) => string,
  added: readonly string[] = [],
): StepLine {
  const { id, kind, done, pictures, before, after, classes } = step;
  const names = namesAfter(state, classes);
  const groups = new Map<string, { set: Said; pictures: string[] }>();
  pictures.forEach((picture, i) => {
    const set = difference(state.valueNumbered(before[i]!), state.valueNumbered(after[i]!), names);
    const key = JSON.stringify(set);
    const group = groups.get(key) ?? { set, pictures: [] };
    group.pictures.push(pathOf(picture));
    groups.set(key, group);
  });
  return {
    id,
    at: new Date().toISOString(),
    kind,
    done,
    ...(groups.size > 0 && { changes: [...groups.values()] }),
    ...(classes.length > 0 && {
      classes: classes.map(({ before, after }) => ({ from: present(before), to: present(after) })),
    }),
    ...(added.length > 0 && { added }),
  };
}

function difference(before: PictureValue, after: PictureValue, names: readonly ClassState[]): Said {
  const { labels, ...others } = after;
  const changed = Object.entries(others).filter(([name, value]) => {
    return String(before[name as keyof typeof others]) !== String(value);
  });
  return {
    ...(before.labels.join() !== labels.join() && { labels: labels.map((n) => names[n]!.name) }),
    ...(Object.fromEntries(changed) as Omit<Said, 'labels'>),
  };
}

function present({ name, removed }: ClassState): string | null {
  return removed ? null : name;
}

function namesAfter(state: LabelState, changes: readonly ClassChange[]): ClassState[] {
  const classes = [...state.classes];
  for (const { index, after } of changes) classes[index] = after;
  return classes;
}

/**
 * The step of a line, which is not taken yet.
 * @param pictureOf the number of a picture by its path as the journal has it; undefined if it is gone
 * @param onGone called for each picture that is gone
 */
export function stepIn(
  state: LabelState,
  { id, kind, done, changes = [], classes = [] }: StepLine,
  pictureOf: (path: string) => number | undefined,
  onGone: (path: string) => void,
): Step {
  const classChanges: ClassChange[] = [];
  for (const { from, to } of classes) {
    const names = namesAfter(state, classChanges);
    const index = names.findIndex(({ name, removed }) =>
      from === null ? name === to && removed : name === from && !removed,
    );
    const before = names[index] ?? { name: to ?? from ?? '', removed: true };
    const after = to === null ? { ...before, removed: true } : { name: to, removed: false };
    classChanges.push({ index: index < 0 ? names.length : index, before, after });
  }
  const names = namesAfter(state, classChanges);
  const indexOf = (label: string): number => {
    const index = names.findIndex(({ name, removed }) => name === label && !removed);
    if (index >= 0) return index;
    // The data set has changed, and lacks a class that it had.
    const added = {
      index: names.length,
      before: { name: label, removed: true },
      after: { name: label, removed: false },
    };
    classChanges.push(added);
    return names.push(added.after) - 1;
  };
  const said = changes.flatMap(({ set: { labels, ...others }, pictures }) => {
    const set = { ...others, ...(labels && { labels: labels.map(indexOf).sort((a, b) => a - b) }) };
    return pictures.flatMap((path) => {
      const picture = pictureOf(path);
      if (picture === undefined) onGone(path);
      return picture === undefined ? [] : [[picture, { ...state.value(picture), ...set }] as const];
    });
  });
  return state.step({ id, kind, done }, said, classChanges);
}
