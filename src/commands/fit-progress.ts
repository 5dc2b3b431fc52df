import type { Iteration, TuneProgress } from '../head/index.js';
import { Progress, Status } from './terminal.js';

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
