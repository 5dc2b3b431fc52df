import { stripVTControlCharacters, styleText } from 'node:util';
import { asCalled } from '../util/errors.js';

/** Prints a line for the user on stderr, so that stdout has nothing but results. */
export function say(line: string): void {
  process.stderr.write(`${visibleButColours(asCalled(line))}\n`);
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
  process.stdout.write(`${visibleButColours(text)}\n`);
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

/** Rows of cells as aligned columns: the first to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, c) => Math.max(...rows.map((row) => lengthOf(row[c] ?? ''))));
  return rows
    .map((row) =>
      row
        .map((cell, c) => {
          const space = ' '.repeat(widths[c]! - lengthOf(cell));
          return c === 0 ? cell + space : space + cell;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Without the colours. */
function lengthOf(cell: string): number {
  return stripVTControlCharacters(cell).length;
}

/** Three decimals; `–` for no value. */
export function number(value: number | null): string {
  return value?.toFixed(3) ?? '–';
}
