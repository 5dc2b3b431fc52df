/**
 * Something the user can put right: a bad file, option or data set. Its message says what was being done, to which
 * file, what was found and what to do; the command line prints it without a stack and exits with 1.
 */
export class LastlayerError extends Error {
  override readonly name: string = 'LastlayerError';
}

/** An option or argument that makes no sense as given. The command line exits with 2. */
export class UsageError extends LastlayerError {
  override readonly name = 'UsageError';
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
