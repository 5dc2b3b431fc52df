/** Whether this is the TypeScript of a clone, not what was built of it. */
const FROM_SOURCE = import.meta.url.endsWith('.ts');

/**
 * Texts name commands as a clone has them, `npm run embed -- ~/photos`. Where the package is installed, they become
 * `npx lastlayer embed ~/photos`.
 */
export function asCalled(text: string): string {
  if (FROM_SOURCE) return text;
  return (
    text
      // What stands in a column behind a command stays in it: this way of writing is 3 longer with `--`, 6 without.
      .replace(/npm run ([\w-]+) -- ([^\n`]*?\S)( {2,})/g, 'npx lastlayer $1 $2$3   ')
      .replace(/npm run ([\w-]+)( --)?/g, 'npx lastlayer $1')
  );
}
