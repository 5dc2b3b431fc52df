import type { Iteration } from '../head/lbfgs.js';
import type { TuneProgress } from '../head/train.js';
import { Progress, say, Status } from './terminal.js';

/** Fits that the time of a further one is estimated by: the last of them, since they take longer the smaller λ is. */
const RECENT = 5;

/** Shows how far training is: a bar over the fits of cross-validation, then the iterations of the last fit. */
export class FitProgressBar {
  private readonly bar = new Progress('cross-validation', 'fits');
  private readonly status = new Status('training');
  /** When the recent fits began, in milliseconds. */
  private began: number[] = [];

  fit({ phase, l2, fits, left }: TuneProgress): void {
    if (phase === 'final fit') {
      this.bar.stop();
      this.status.update(`λ ${l2}, on all pictures`);
      return;
    }
    this.began = [...this.began, Date.now()].slice(-RECENT - 1);
    const [first = 0] = this.began;
    const each = (Date.now() - first) / 1000 / Math.max(1, this.began.length - 1);
    this.bar.update(fits, fits + left, fits, fits > 0 ? each * left : undefined);
  }

  iteration({ iteration, gradientNorm }: Iteration): void {
    this.status.update(`on all pictures, iteration ${iteration}, gradient ${gradientNorm.toExponential(1)}`);
  }

  stop(): void {
    this.bar.stop();
    this.status.stop();
  }
}

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
