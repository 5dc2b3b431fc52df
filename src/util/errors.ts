/** Characters. */
const LONGEST_MESSAGE = 8000;

/**
 * Something the user can put right: a bad file, option or data set. Its message says what was being done, to which
 * file, what was found and what to do; the command line prints it without a stack and exits with 1.
 */
export class LastlayerError extends Error {
  override readonly name: string = 'LastlayerError';

  /**
   * @param message commands in it are named as in a clone, and told as they are called here; what a file put into it by the
   *   megabyte is left out
   */
  constructor(message: string) {
    super(asCalled(shortened(message)));
  }
}

/** An option or argument that makes no sense as given. The command line exits with 2. */
export class UsageError extends LastlayerError {
  override readonly name = 'UsageError';
}

function shortened(message: string): string {
  const half = LONGEST_MESSAGE / 2;
  return message.length <= LONGEST_MESSAGE ? message : `${message.slice(0, half)} … ${message.slice(-half)}`;
}

/** The message of anything that was thrown, in whichever realm it was made. */
export function messageOf(error: unknown): string {
  return property(error, 'message') ?? String(error);
}

/** The code of a system error, e.g. ENOENT; undefined where there is none. */
export function codeOf(error: unknown): string | undefined {
  return property(error, 'code');
}

function property(error: unknown, name: 'message' | 'code'): string | undefined {
  const value: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined;
  return typeof value === 'string' ? value : undefined;
}

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
