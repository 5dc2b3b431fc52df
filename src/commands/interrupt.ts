import { say } from './terminal.js';

/** Thrown where the user breaks off; the command line exits with 128 + the signal's number, as shells expect. */
export class Interrupted extends Error {
  constructor(readonly exitCode: number) {
    super('interrupted');
  }
}

/**
 * Runs work that Ctrl-C (or SIGTERM) ends in good order: what is done by then is saved. A second Ctrl-C ends it at once.
 * @param notice tells the user what happens
 */
export async function interruptible<T>(
  work: (signal: AbortSignal) => Promise<T>,
  notice = 'Stopping; what is done is kept. Once more to stop at once.',
): Promise<T> {
  const controller = new AbortController();
  const stop = (signal: NodeJS.Signals) => {
    const code = signal === 'SIGINT' ? 130 : 143;
    if (controller.signal.aborted) process.exit(code);
    say(`\n${notice}`);
    controller.abort(new Interrupted(code));
  };
  process.on('SIGINT', stop).on('SIGTERM', stop);
  try {
    return await work(controller.signal);
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}
