import { styleText } from 'node:util';

export type Style = Parameters<typeof styleText>[0];

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
