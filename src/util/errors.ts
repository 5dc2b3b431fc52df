/** Characters. */
const LONGEST_MESSAGE = 8000;

/**
 * An error that the user can fix: a bad file, option or data set. Its message says what was being done, to which file, what was
 * found and what to do. The command line prints it without a stack and exits with 1.
 */
export class LastlayerError extends Error {
  override readonly name: string = 'LastlayerError';

  /**
   * @param message names commands as in a clone, see {@link asCalled}; the middle of an overlong one is cut
   * @param code what failed
   */
  constructor(
    message: string,
    /** What failed, for programs to act on. It stays the same where the message is worded anew. */
    public code: ErrorCode = 'FAILED',
  ) {
    super(asCalled(shortened(message)));
  }
}

/**
 * What failed, for programs:
 * - `USAGE`: an option or argument makes no sense; every {@link UsageError} has it;
 * - `PICTURE_UNREADABLE`: a picture does not exist, cannot be read or is none;
 * - `HEAD_NOT_FOUND`, `HEAD_DAMAGED`: of a head's file;
 * - `HEAD_MISMATCH`: the head was trained on embeddings of another backbone;
 * - `MODEL_NOT_FOUND`, `MODEL_UNUSABLE`: of a backbone's file;
 * - `DATASET_UNUSABLE`: there is no data set, or it has no pictures or no labels to train on;
 * - `NOT_EMBEDDED`: the store does not exist, or has no embeddings of the data set or by the model;
 * - `STORE_UNUSABLE`: the store cannot be read or written;
 * - `FAILED`: anything else.
 */
export type ErrorCode =
  | 'USAGE'
  | 'PICTURE_UNREADABLE'
  | 'HEAD_NOT_FOUND'
  | 'HEAD_DAMAGED'
  | 'HEAD_MISMATCH'
  | 'MODEL_NOT_FOUND'
  | 'MODEL_UNUSABLE'
  | 'DATASET_UNUSABLE'
  | 'NOT_EMBEDDED'
  | 'STORE_UNUSABLE'
  | 'FAILED';

/** An option or argument that makes no sense. The command line exits with 2. */
export class UsageError extends LastlayerError {
  override readonly name = 'UsageError';

  constructor(message: string) {
    super(message, 'USAGE');
  }
}

/** Does work whose errors have this code, unless they have one of their own. */
export async function withCode<T>(code: ErrorCode, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof LastlayerError && error.code === 'FAILED') error.code = code;
    throw error;
  }
}

/** The same text, or one without its middle if it is overlong. */
export function shortened(message: string): string {
  const half = LONGEST_MESSAGE / 2;
  return message.length <= LONGEST_MESSAGE ? message : `${message.slice(0, half)} … ${message.slice(-half)}`;
}

/** The message of anything that was thrown, in any realm. */
export function messageOf(error: unknown): string {
  return property(error, 'message') ?? String(error);
}

/** The code of a system error, e.g. ENOENT. */
export function codeOf(error: unknown): string | undefined {
  return property(error, 'code');
}

function property(error: unknown, name: 'message' | 'code'): string | undefined {
  const value: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined;
  return typeof value === 'string' ? value : undefined;
}

const RUNS_FROM_SOURCE = import.meta.url.endsWith('.ts');

/**
 * Names commands as the reader calls them. The source writes them as in a clone, `npm run embed -- ~/photos`; in the built package
 * they become `npx lastlayer embed ~/photos`.
 */
export function asCalled(text: string): string {
  if (RUNS_FROM_SOURCE) return text;
  return (
    text
      // Keep what is aligned in a column behind a command there: the new form is 3 longer with `--`, 6 without.
      .replace(/npm run ([\w-]+) -- ([^\n`]*?\S)( {2,})/g, 'npx lastlayer $1 $2$3   ')
      .replace(/npm run ([\w-]+)( --)?/g, 'npx lastlayer $1')
  );
}
