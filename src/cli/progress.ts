import { SingleBar } from 'cli-progress';
import type { Iteration } from '../head/lbfgs.js';
import type { TuneProgress } from '../head/train.js';
import { say } from './terminal.js';

/** If stderr is not a terminal, progress is printed this often. */
const LINE_EVERY_MS = 10_000;

/** Shows how far long work is: a bar on a terminal, else a line every ten seconds. */
export class Progress {
  private readonly started = Date.now();
  private bar: SingleBar | undefined;
  private lastLine = Date.now();

  /**
   * @param what e.g. `embedding`
   * @param unit of the counts, e.g. `pictures`
   * @param format of a count
   */
  constructor(
    private readonly what: string,
    private readonly unit: string,
    private readonly format: (count: number) => string = String,
  ) {}

  /**
   * @param total undefined if unknown
   * @param worked how much of `done` took time, for the rate, if some was there already
   * @param secondsLeft an estimate that is better than one from the rate
   */
  update(done: number, total: number | undefined, worked = done, secondsLeft?: number): void {
    const seconds = (Date.now() - this.started) / 1000;
    const rate = worked / Math.max(seconds, 0.001);
    const left = secondsLeft ?? (total === undefined || worked === 0 ? undefined : (total - done) / rate);
    const { format, unit } = this;
    const state =
      `${format(done)}${total === undefined ? '' : `/${format(total)}`} ${unit}, ` +
      `${format(Math.round(rate * 10) / 10)} ${unit}/s` +
      (left === undefined ? '' : `, ${duration(left)} left`);
    if (process.stderr.isTTY) this.draw(state, done, total);
    else if (Date.now() - this.lastLine >= LINE_EVERY_MS) {
      this.lastLine = Date.now();
      say(`${this.what}: ${state}`);
    }
  }

  /** Ends the bar at its end, where the total was an estimate. */
  finish(done: number): void {
    if (this.bar?.isActive) this.update(done, done, done, 0);
    this.stop();
  }

  /** Makes room for a line of output; the next update draws the bar again, below it. */
  clear(): void {
    if (this.bar) clearLine();
  }

  stop(): void {
    this.bar?.stop();
  }

  private draw(state: string, done: number, total: number | undefined): void {
    if (!this.bar) {
      this.bar = new SingleBar({
        format: `${this.what} {bar} {state}`,
        barsize: 24,
        hideCursor: true,
        // `interruptible` handles Ctrl-C.
        gracefulExit: false,
      });
      this.bar.start(total ?? 0, done, { state });
    }
    if (total !== undefined) this.bar.setTotal(total);
    this.bar.update(done, { state });
  }
}

/** E.g. `1 h 05 min`, `3 min 20 s`, `8 s`. */
function duration(seconds: number): string {
  const s = Math.round(seconds);
  const pad = (n: number) => String(n).padStart(2, '0');
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${pad(Math.floor((s % 3600) / 60))} min`;
  if (s >= 60) return `${Math.floor(s / 60)} min ${pad(s % 60)} s`;
  return `${s} s`;
}

/** Shows what work of unknown length is doing: a line that changes on a terminal, else a line every ten seconds. */
export class Status {
  private lastLine = Date.now();
  private shown = false;

  /** @param what e.g. `training` */
  constructor(private readonly what: string) {}

  update(state: string): void {
    if (process.stderr.isTTY) {
      this.shown = true;
      clearLine();
      process.stderr.write(`${this.what}: ${state}`);
    } else if (Date.now() - this.lastLine >= LINE_EVERY_MS) {
      this.lastLine = Date.now();
      say(`${this.what}: ${state}`);
    }
  }

  /** Clears the line. */
  stop(): void {
    if (this.shown) clearLine();
  }
}

function clearLine(): void {
  process.stderr.write('\r\u001b[K');
}

/** The time left is estimated from this many recent fits, since fits take longer the smaller λ is. */
const RECENT = 5;

/** Shows how far training is: a bar over the fits of cross-validation, then the iterations of the final fit. */
export class FitProgress {
  private readonly bar = new Progress('cross-validation', 'fits');
  private readonly status = new Status('training');
  /** When the recent fits began, in ms. */
  private began: number[] = [];

  fit({ phase, l2, fits, left }: TuneProgress): void {
    if (phase === 'final fit') {
      this.bar.finish(fits);
      this.status.update(`λ ${l2}, on all pictures`);
      return;
    }
    this.began = [...this.began, Date.now()].slice(-RECENT - 1);
    const each = (Date.now() - this.began[0]!) / 1000 / Math.max(1, this.began.length - 1);
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

/** Thrown when the user interrupts the work. */
export class Interrupted extends Error {
  /** @param exitCode 128 + the signal's number, as shells expect */
  constructor(readonly exitCode: number) {
    super('interrupted');
  }
}

/** Thrown when nobody reads the output any more, which is how `head` ends a command that it has heard enough of. */
export class OutputClosed extends Error {}

/** The work that {@link interruptible} runs. */
let underWay: AbortController | undefined;

/** Ends the work under way in good order, as nobody reads its output. @returns false if there is none */
export function endUnread(): boolean {
  underWay?.abort(new OutputClosed());
  return underWay !== undefined;
}

interface InterruptibleOptions {
  /** Progress displays to stop when the work ends. */
  displays?: readonly { stop(): void }[] | undefined;
  /** Tells the user what Ctrl-C does. */
  notice?: string | undefined;
}

/** Runs work that Ctrl-C or SIGTERM ends in good order, keeping what is done. A second Ctrl-C ends the process at once. */
export async function interruptible<T>(
  work: (signal: AbortSignal) => Promise<T>,
  {
    displays = [],
    notice = 'Stopping; what is done is kept. Press Ctrl-C again to stop at once.',
  }: InterruptibleOptions = {},
): Promise<T> {
  const controller = new AbortController();
  underWay = controller;
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
    underWay = undefined;
    for (const display of displays) display.stop();
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}
