/** Control characters, and those that turn the direction of text: what a terminal acts upon or is misled by. */
const CONTROLS = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** What sets colours: `ESC [ … m`. */
const ESCAPE = '\u001b';
const COLOUR = new RegExp(`(${ESCAPE}\\[[\\d;]*m)`);

/**
 * A text that may hold names of files, safe to be shown on a terminal: control characters, by which a name could move the
 * cursor or hide what is there, are written as in JSON, so that JSON stays what it is.
 */
export function visible(text: string): string {
  return text.replace(CONTROLS, (character) =>
    character === '\n' || character === '\t' ? character : escaped(character),
  );
}

/** As {@link visible}, but on one line: for names in lists, of which a line must not be able to look like another entry. */
export function onOneLine(text: string): string {
  return text.replace(CONTROLS, escaped);
}

/** As {@link visible}, but for colours. */
export function visibleInColour(text: string): string {
  return text
    .split(COLOUR)
    .map((part, i) => (i % 2 === 1 ? part : visible(part)))
    .join('');
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
