import { stripVTControlCharacters, styleText } from 'node:util';
import { SingleBar } from 'cli-progress';
import { asCalled, LastlayerError, messageOf } from '../util/errors.js';
import { writeWholeFile } from '../util/files.js';

/** Where stderr is no terminal, progress is told this often. */
const LINE_EVERY_MS = 10_000;

/** A line for the user, on stderr, so that stdout holds nothing but results. Commands are told as they are called here. */
export function say(line: string): void {
  process.stderr.write(`${visibleInColour(asCalled(line))}\n`);
}

/** Something to be aware of, as {@link say}. */
export function notice(line: string): void {
  say(styled('yellow', visible(line), process.stderr));
}

/** A failure, as {@link say}. */
export function complain(message: string): void {
  say(`${styled(['red', 'bold'], 'Error:', process.stderr)} ${visible(message)}`);
}

/** A result, on stdout. */
export function print(text: string): void {
  process.stdout.write(`${visibleInColour(text)}\n`);
}

/** Shows how far long work has come: a bar on a terminal, a line every ten seconds elsewhere. */
export class Progress {
  private readonly started = Date.now();
  private bar: SingleBar | undefined;
  private lastLine = Date.now();

  /**
   * @param what e.g. `embedding`
   * @param unit of the counts, e.g. `images`
   */
  constructor(
    private readonly what: string,
    private readonly unit: string,
    private readonly inSeconds: (done: number) => string = (done) => String(done),
  ) {}

  /**
   * @param done how far it is
   * @param total how far it goes; undefined where that is unknown
   * @param worked how much of `done` took time, for the rate; the rest was there already
   * @param secondsLeft where another estimate is better than the rest at the rate so far
   */
  update(done: number, total: number | undefined, worked = done, secondsLeft?: number): void {
    const seconds = (Date.now() - this.started) / 1000;
    const rate = worked / Math.max(seconds, 0.001);
    const left = secondsLeft ?? (total === undefined || worked === 0 ? undefined : (total - done) / rate);
    const state =
      `${this.inSeconds(done)}${total === undefined ? '' : `/${this.inSeconds(total)}`} ${this.unit}, ` +
      `${this.inSeconds(Math.round(rate * 10) / 10)} ${this.unit}/s` +
      (left === undefined ? '' : `, ${duration(left)} left`);
    if (process.stderr.isTTY) this.draw(state, done, total);
    else if (Date.now() - this.lastLine >= LINE_EVERY_MS) {
      this.lastLine = Date.now();
      say(`${this.what}: ${state}`);
    }
  }

  stop(): void {
    this.bar?.stop();
  }

  private draw(state: string, done: number, total: number | undefined): void {
    if (!this.bar) {
      this.bar = new SingleBar({
        format: `${this.what} {bar} {state}`,
        barsize: 24,
        hideCursor: true,
        // Ctrl-C is ours to handle.
        gracefulExit: false,
      });
      this.bar.start(total ?? 0, done, { state });
    }
    if (total !== undefined) this.bar.setTotal(total);
    this.bar.update(done, { state });
  }
}

/** Shows what long work is at, where nobody knows how far it goes: a line that changes on a terminal, else one at times. */
export class Status {
  private lastLine = Date.now();
  private shown = false;

  /** @param what e.g. `training` */
  constructor(private readonly what: string) {}

  update(state: string): void {
    if (process.stderr.isTTY) {
      this.shown = true;
      // To the beginning of the line, which is cleared.
      process.stderr.write(`\r\u001b[K${this.what}: ${state}`);
    } else if (Date.now() - this.lastLine >= LINE_EVERY_MS) {
      this.lastLine = Date.now();
      say(`${this.what}: ${state}`);
    }
  }

  /** Clears the line. */
  stop(): void {
    if (this.shown) process.stderr.write('\r\u001b[K');
  }
}

/** E.g. `1 h 05 min`, `3 min 20 s`, `8 s`. */
function duration(seconds: number): string {
  const s = Math.round(seconds);
  const pad = (n: number) => String(n).padStart(2, '0');
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${pad(Math.floor((s % 3600) / 60))} min`;
  if (s >= 60) return `${Math.floor(s / 60)} min ${pad(s % 60)} s`;
  return `${s} s`;
}

/** Rows of cells as aligned columns: the first to the left, numbers to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, c) =>
    Math.max(...rows.map((row) => lengthOf(row[c] ?? ''))),
  );
  return rows
    .map((row) =>
      row
        .map((cell, c) => {
          const space = ' '.repeat((widths[c] ?? 0) - lengthOf(cell));
          return c === 0 ? cell + space : space + cell;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** How many characters are seen. */
function lengthOf(cell: string): number {
  return stripVTControlCharacters(cell).length;
}

/** 0.8954 as `89.5 %`; `–` where there is no value. */
export function percent(share: number | null | undefined): string {
  return share === null || share === undefined ? '–' : `${(100 * share).toFixed(1)} %`;
}

/** [0.8367, 0.9342] as `83.7 – 93.4 %`; `–` where there is none. */
export function interval(bounds: readonly [number, number] | null): string {
  return bounds ? `${bounds.map((share) => (100 * share).toFixed(1)).join(' – ')} %` : '–';
}

/** With three decimals; a dash where there is none. */
export function number(value: number | null): string {
  return value?.toFixed(3) ?? '–';
}

type Style = Parameters<typeof styleText>[0];

/** From this share on a figure is good, and below that one bad. */
const GOOD = 0.9;
const BAD = 0.6;

/**
 * Text in a colour, where the stream shows colours: on a terminal that has them, never with NO_COLOR (https://no-color.org),
 * and anywhere with FORCE_COLOR (but not FORCE_COLOR=0).
 * @param stream where it will be written
 */
export function styled(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  // Not left to styleText, which looks at no stream before Node 20.18.
  return showsColour(stream) ? styleText(style, text, { validateStream: false }) : text;
}

/** A share in words, green or red where it is good or bad. */
export function graded(text: string, share: number | null): string {
  if (share === null || (share < GOOD && share >= BAD)) return text;
  return styled(share >= GOOD ? 'green' : 'red', text);
}

function showsColour(stream: NodeJS.WriteStream): boolean {
  const { NO_COLOR, FORCE_COLOR } = process.env;
  if (NO_COLOR !== undefined && NO_COLOR !== '') return false;
  if (FORCE_COLOR !== undefined) return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false';
  return stream.isTTY && stream.hasColors();
}

/** Control characters, and those that turn the direction of text: what a terminal acts upon or is misled by. */
const CONTROLS = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** What sets colours: `ESC [ … m`. */
const ESCAPE = '\u001b';
const COLOUR = new RegExp(`(${ESCAPE}\\[[\\d;]*m)`);

/**
 * A text that may hold names of files, safe to be shown on a terminal: control characters, by which a name could move the
 * cursor or hide what is there, are written as in JSON, so that JSON stays what it is.
 */
function visible(text: string): string {
  return text.replace(CONTROLS, (character) =>
    character === '\n' || character === '\t' ? character : escaped(character),
  );
}

/** As {@link visible}, but on one line: for names in lists, of which a line must not be able to look like another entry. */
export function onOneLine(text: string): string {
  return text.replace(CONTROLS, escaped);
}

/** As {@link visible}, but for colours. */
function visibleInColour(text: string): string {
  return text
    .split(COLOUR)
    .map((part, i) => (i % 2 === 1 ? part : visible(part)))
    .join('');
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/**
 * Writes a file that the user asked for, whole or not at all.
 * @param option that names it
 * @returns its path
 * @throws {LastlayerError} where it cannot be written
 */
export async function writeResult(option: string, path: string, text: string): Promise<string> {
  try {
    await writeWholeFile(path, text);
  } catch (error) {
    throw new LastlayerError(
      `${option} ${path} cannot be written: ${messageOf(error)}. Name a file in a folder that is there.`,
    );
  }
  return path;
}
