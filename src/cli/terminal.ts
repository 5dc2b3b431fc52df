import { styleText } from 'node:util';
import stringWidth from 'string-width';
import wrapAnsi from 'wrap-ansi';
import { asCalled } from '../util/errors.js';

/** Prints text for the user on stderr, so that stdout has nothing but results. */
export function say(text: string): void {
  process.stderr.write(`${fitted(visibleButColours(asCalled(text)), process.stderr)}\n`);
}

/** Says something that the user should be aware of. */
export function notice(line: string): void {
  say(styled('yellow', visible(line), process.stderr));
}

/** Says what failed. */
export function complain(message: string): void {
  say(`${styled(['red', 'bold'], 'Error:', process.stderr)} ${visible(message)}`);
}

/** Prints a result on stdout. */
export function print(text: string): void {
  process.stdout.write(`${fitted(visibleButColours(text), process.stdout)}\n`);
}

/** Prints the result of `--json` on stdout, on one line however narrow the terminal is. */
export function printJson(value: unknown): void {
  printWhole(JSON.stringify(value));
}

/** Prints a line, or a part of one object, for programs: it is not wrapped. */
export function printWhole(text: string): void {
  process.stdout.write(`${visible(text)}\n`);
}

/** Prints a line for a shell as it is. */
export function printRaw(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** The width of a terminal, in columns; undefined if the stream is none, such as a pipe or a file. */
export function columnsOf(stream: NodeJS.WriteStream): number | undefined {
  // A terminal that does not know its width says 0.
  return (stream.isTTY && stream.columns) || undefined;
}

/**
 * Wraps the lines that are too long for the terminal, between words. What follows is indented: below the text if the line is a name, a
 * gap and a text, else a little more than the line's beginning. A word that is longer than a line, such as a path, stays whole.
 */
export function fitted(text: string, stream: NodeJS.WriteStream): string {
  const columns = columnsOf(stream);
  if (columns === undefined) return text;
  return text
    .split('\n')
    .map((line) => (stringWidth(line) <= columns ? line : wrapped(line, columns)))
    .join('\n');
}

/** Stands for a blank where a line must not end: a character of private use, which no text has. */
const NO_BREAK = '\ue000';

function wrapped(line: string, columns: number): string {
  const [indent = ''] = /^ */.exec(line) ?? [];
  const [entry = indent] = /^ *\S.*? {2,}/.exec(line) ?? [];
  const start = stringWidth(entry) <= columns / 2 ? entry : indent;
  const hang = start === indent && indent !== '' ? indent.length + 2 : stringWidth(start);
  const room = columns - hang;
  // A number keeps its sign, and a command can be copied.
  const kept = line
    .slice(start.length)
    .replace(/`[^`]+`| %/g, (part) => (stringWidth(part) <= room ? part.replaceAll(' ', NO_BREAK) : part));
  const lines = wrapAnsi(kept, room).replaceAll('\n', `\n${blanks(hang)}`);
  return start + lines.replaceAll(NO_BREAK, ' ');
}

/** Control characters, and those that change the direction of text. */
const CONTROLS = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** The sequences that set colours: `ESC [ … m`. */
const ESCAPE = '\u001b';
const COLOUR = new RegExp(`(${ESCAPE}\\[[\\d;]*m)`);

/**
 * Escapes control characters, with which a file name could move the cursor or hide text. They are escaped as in JSON, so that
 * JSON stays the same.
 */
function visible(text: string): string {
  return text.replace(CONTROLS, (character) =>
    character === '\n' || character === '\t' ? character : escaped(character),
  );
}

function visibleButColours(text: string): string {
  return text
    .split(COLOUR)
    .map((part, i) => (i % 2 === 1 ? part : visible(part)))
    .join('');
}

/** Escapes line breaks too: a name in a list must not be able to look like another entry. */
export function onOneLine(text: string): string {
  return text.replace(CONTROLS, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/**
 * Colours a text if the stream shows colours: on a terminal that has them, never with NO_COLOR (https://no-color.org), and always
 * with FORCE_COLOR (except FORCE_COLOR=0).
 * @param stream where the text will be written
 */
export function styled(
  style: Parameters<typeof styleText>[0],
  text: string,
  stream: NodeJS.WriteStream = process.stdout,
): string {
  // styleText checks the stream itself only from Node 20.18 on.
  return showsColour(stream) ? styleText(style, text, { validateStream: false }) : text;
}

function showsColour(stream: NodeJS.WriteStream): boolean {
  const { NO_COLOR, FORCE_COLOR } = process.env;
  if (NO_COLOR !== undefined && NO_COLOR !== '') return false;
  if (FORCE_COLOR !== undefined) return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false';
  return stream.isTTY && stream.hasColors();
}

/** Scores from here on are shown in green, and those below `BAD` in red. */
const GOOD = 0.9;
const BAD = 0.6;

/** Colours the text of a score, a fraction. */
export function graded(text: string, score: number | null): string {
  if (score === null || (score < GOOD && score >= BAD)) return text;
  return styled(score >= GOOD ? 'green' : 'red', text);
}

/** The first column of a table does not get narrower than this. */
const LEAST = 12;

interface TableOptions {
  /** Blanks between columns. @default 2 */
  gap?: number;
  /** The most columns of the terminal. @default those that it has */
  width?: number;
}

/**
 * Rows of cells as aligned columns: the first to the left, the others to the right. Where they are too wide, the cells of the first
 * column are wrapped; one with a word that is too long for that, such as a path, stands above its row.
 */
export function table(
  rows: readonly (readonly string[])[],
  { gap = 2, width = columnsOf(process.stdout) ?? Infinity }: TableOptions = {},
): string {
  const count = Math.max(...rows.map((row) => row.length));
  const [first = 0, ...others] = Array.from({ length: count }, (_, c) =>
    Math.max(...rows.map((row) => stringWidth(row[c] ?? ''))),
  );
  const room = width - others.reduce((sum, other) => sum + gap + other, 0);
  const widthOfFirst = Math.min(first, Math.max(LEAST, room));
  return rows
    .map(([name = '', ...cells]) => {
      const lines = stringWidth(name) > widthOfFirst ? wrappedCell(name, widthOfFirst) : [name];
      const fits = lines.every((each) => stringWidth(each) <= widthOfFirst);
      const [line = '', ...more] = fits ? lines : [];
      const row = [
        line + blanks(widthOfFirst - stringWidth(line)),
        ...cells.map((cell, c) => blanks(others[c]! - stringWidth(cell)) + cell),
      ];
      return [...(fits ? [] : lines), row.join(blanks(gap)).trimEnd(), ...more].join('\n');
    })
    .join('\n');
}

/** The columns of the longest line. */
export function widthOf(text: string): number {
  return Math.max(...text.split('\n').map((line) => stringWidth(line)));
}

/** Wraps a cell within its indentation. */
function wrappedCell(cell: string, width: number): string[] {
  const [indent = ''] = /^ */.exec(cell) ?? [];
  return wrapAnsi(cell.slice(indent.length), Math.max(1, width - indent.length))
    .split('\n')
    .map((line) => indent + line);
}

function blanks(count: number): string {
  return ' '.repeat(Math.max(0, count));
}

/** Three decimals; `–` for no value. */
export function number(value: number | null): string {
  return value?.toFixed(3) ?? '–';
}
