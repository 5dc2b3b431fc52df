import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { ClassFolders, NONE, UNKNOWN } from '../classify/class-folders.js';
import type { Classification } from '../classify/classifier.js';
import type { Explanation } from '../classify/explain.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import { csvLine, labelList, quantity } from '../util/format.js';
import { sum } from '../util/math.js';
import { placedText } from './placed.js';
import { onOneLine, printJson, printWhole, table } from './terminal.js';

/** `unknown` and `typicality` are absent for the pretrained classes, of whose training pictures nothing is known. */
export type Prediction = Pick<Classification, 'predictions' | 'labels'> &
  Partial<Pick<Classification, 'unknown' | 'typicality'>> & {
    /** With --explain: where the leading classes were seen, and the file that shows it. */
    explanations?: readonly Explanation[] | undefined;
    explained?: string | undefined;
  };
export type Answer = { path: string } & (Prediction | { error: string });

/** Takes the answers one by one. */
export interface Output {
  add(answer: Answer): void | Promise<void>;
  /** @param isComplete false if the work was interrupted or has failed */
  end?(isComplete: boolean): void | Promise<void>;
}

/** One JSON object, which is whole even if the work is interrupted. Its items are written as they come, so they need no memory. */
export class JsonOutput implements Output {
  private last: string | undefined;

  add(answer: Answer): void {
    printWhole(this.last === undefined ? '{"predictions":[' : `${this.last},`);
    this.last = JSON.stringify(answer);
  }

  end(isComplete: boolean): void {
    if (this.last !== undefined) printWhole(`${this.last}]}`);
    else if (isComplete) printWhole('{"predictions":[]}');
  }
}

/** A JSON object a line, as they come. */
export class JsonLinesOutput implements Output {
  add(answer: Answer): void {
    printJson(answer);
  }
}

/** A row a picture, each written as it comes. */
export class CsvOutput implements Output {
  private file: FileHandle | undefined;

  constructor(
    private readonly path: string,
    private readonly isMultilabel: boolean,
  ) {}

  async add(answer: Answer): Promise<void> {
    const cells = 'error' in answer ? [...Array<undefined>(4), answer.error] : this.cellsOf(answer);
    // Absolute, so that the file may be moved.
    await this.write(csvLine([resolve(answer.path), ...cells]));
  }

  async end(isComplete: boolean): Promise<void> {
    if (isComplete) await this.write('');
    await this.file?.close();
  }

  private cellsOf({ predictions, labels, typicality, unknown }: Prediction): (string | undefined)[] {
    const [best] = predictions;
    return [
      this.isMultilabel ? labelList(labels ?? []) : best?.label,
      best?.probability.toString(),
      typicality?.toString(),
      unknown?.toString(),
      '',
    ];
  }

  private async write(line: string): Promise<void> {
    try {
      if (!this.file) {
        this.file = await open(this.path, 'w');
        await this.file.appendFile(
          `path,${this.isMultilabel ? 'labels' : 'label'},probability,typicality,unknown,error\n`,
        );
      }
      await this.file.appendFile(line);
    } catch (error) {
      throw new LastlayerError(
        `--csv ${this.path} cannot be written: ${messageOf(error)}. Name a file in an existing folder, on a disk that has room.`,
      );
    }
  }
}

/** Puts the pictures into folders of their classes. */
export class FoldersOutput {
  private readonly counts = { placed: 0, present: 0 };

  constructor(
    private readonly folders: ClassFolders,
    /** What is done, e.g. `copied`. */
    private readonly verb: string,
  ) {}

  /** @returns the answer, or an error if the picture is no longer there */
  async place(answer: Answer): Promise<Answer> {
    if ('error' in answer) return answer;
    const { path, predictions, labels, unknown } = answer;
    const [best] = predictions;
    const result = await this.folders.place(path, labels ?? (unknown || !best ? UNKNOWN : [best.label]));
    if (result === 'gone') return { path, error: `${path} was gone when it was to be ${this.verb}.` };
    this.counts[result]++;
    return answer;
  }

  describe(): string {
    return `${this.verb} to ${onOneLine(this.folders.root)}: ${placedText(this.counts)}`;
  }
}

/** Classes to list in a summary. */
const LISTED = 30;

/** How many pictures there are of each class. */
export class Summary implements Output {
  count = 0;
  unreadable = 0;
  private readonly ofClass = new Map<string, number>();
  /** Pictures of no class, by the name of their folder. */
  private readonly special = new Map<string, number>();

  add(answer: Answer): void {
    this.count++;
    if ('error' in answer) {
      this.unreadable++;
      return;
    }
    const { predictions, labels, unknown } = answer;
    if (labels) for (const label of labels) increase(this.ofClass, label);
    if (labels?.length === 0) increase(this.special, NONE);
    else if (!labels && unknown) increase(this.special, UNKNOWN);
    else if (!labels && predictions[0]) increase(this.ofClass, predictions[0].label);
  }

  /** The most frequent classes first. @param seconds that it took; undefined if most of that was waiting */
  describe(seconds: number | undefined): string {
    const classes = [...this.ofClass].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
    const [rows, rest] = [classes.slice(0, LISTED), classes.slice(LISTED)];
    if (rest.length > 0) {
      rows.push([quantity(rest.length, 'other class', 'other classes'), sum(rest.map(([, n]) => n))]);
    }
    rows.push(...this.special);
    if (this.unreadable > 0) rows.push(['unreadable', this.unreadable]);
    const lines = rows.map(([label, n]) => [`  ${onOneLine(label)}`, String(n)]);
    return `pictures: ${this.count}${seconds === undefined ? '' : inTime(this.count, seconds)}\n${table(lines)}`;
  }
}

function inTime(count: number, seconds: number): string {
  return `, in ${seconds.toFixed(1)} s (${(count / Math.max(seconds, 0.001)).toFixed(1)} per second)`;
}

function increase(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
