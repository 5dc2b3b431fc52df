/** 0.8954 as `89.5 %`; `–` for no value. */
export function percent(fraction: number | null | undefined, digits = 1): string {
  return fraction === null || fraction === undefined ? '–' : `${(100 * fraction).toFixed(digits)} %`;
}

/** [0.8367, 0.9342] as `83.7 – 93.4 %`; `–` for no value. */
export function interval(bounds: readonly [number, number] | null): string {
  return bounds ? `${bounds.map((fraction) => (100 * fraction).toFixed(1)).join(' – ')} %` : '–';
}

/** `percent` and `interval` for HTML, with a no-break space before the sign. */
export const htmlPercent = (fraction: number | null | undefined) => percent(fraction).replace(' %', '\u00a0%');
export const htmlInterval = (bounds: readonly [number, number] | null) => interval(bounds).replace(' %', '\u00a0%');

/** −0.0514 as `−0.051`, 0.0514 as `+0.051`, and what rounds to zero without a sign. */
export function signed(value: number, digits: number): string {
  const text = Math.abs(value).toFixed(digits);
  if (Number(text) === 0) return text;
  return `${value < 0 ? '−' : '+'}${text}`;
}

/** A difference of fractions, 0.0514, in percentage points: `+5.1 pp`. */
export function signedPoints(difference: number): string {
  return `${signed(100 * difference, 1)} pp`;
}

/** 1234 as `1,234`. */
export function count(n: number): string {
  return n.toLocaleString('en');
}

/** 1 and `picture` as `1 picture`, 2 as `2 pictures`. @param many the plural, if it has another ending */
export function quantity(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

/** A list of labels in a cell of a CSV file, as manifests have them. */
export function labelList(labels: readonly string[]): string {
  return labels.some((label) => label.includes(';')) ? JSON.stringify(labels) : labels.join(';');
}

/** The first few, with an ellipsis if there are more. */
export function firstOf(texts: readonly string[], most = 5): string {
  return texts.slice(0, most).join(', ') + (texts.length > most ? ', …' : '');
}

/** `label error` as `Label error`. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A time in ISO 8601, `2026-05-01T12:30:59.123Z`, as `2026-05-01 12:30 UTC`. */
export function time(iso: string): string {
  return `${iso.slice(0, 16).replace('T', ' ')} UTC`;
}

/** A line of a CSV file (RFC 4180), with its line feed. */
export function csvLine(cells: readonly (string | null | undefined)[]): string {
  return `${cells.map((cell) => quoted(cell ?? '')).join(',')}\n`;
}

function quoted(cell: string): string {
  return /[",\r\n]|^\s|\s$/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/** The call of a command, as in a clone, to be copied into a shell. */
export function commandLine(name: string, words: readonly string[]): string {
  return `npm run ${name}${words.length > 0 ? ` -- ${words.map(shellWord).join(' ')}` : ''}`;
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
