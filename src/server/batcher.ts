import type { TrunkPool } from '../backbone/index.js';
import { joinPixels, type DecodedImage } from '../images/index.js';

export interface BatcherOptions {
  pool: Pick<TrunkPool, 'size' | 'run'>;
  /** The most pictures of a batch. */
  maxBatch: number;
  /** How long an idle thread of the trunk waits for a batch to fill, in ms. */
  maxWait: number;
  /** Told of each batch that is done. */
  onBatch: (pictures: number, seconds: number) => void;
}

interface Waiting {
  image: DecodedImage;
  signal: AbortSignal;
  resolve: (embedding: Float32Array) => void;
  reject: (error: unknown) => void;
}

/**
 * Dynamic batching: pictures that come while all threads of the trunk are at work are the next batch, in the order in which
 * they came. An idle thread begins at once, or waits a moment for more.
 */
export class Batcher {
  private queue: Waiting[] = [];
  private running = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly options: BatcherOptions) {}

  /**
   * @param signal aborts where nobody waits for the answer any more
   * @returns the picture's embedding, [width]
   * @throws the signal's reason, and as the trunk does
   */
  add(image: DecodedImage, signal: AbortSignal): Promise<Float32Array> {
    return new Promise((resolve, reject) => {
      this.queue.push({ image, signal, resolve, reject });
      this.schedule();
    });
  }

  /** Lets all go that wait, for this reason, and begins no more batches. */
  close(reason: Error): void {
    clearTimeout(this.timer);
    for (const { reject } of this.queue) reject(reason);
    this.queue = [];
  }

  private schedule(): void {
    if (this.running >= this.options.pool.size || this.queue.length === 0) return;
    const { maxBatch, maxWait } = this.options;
    if (maxWait === 0 || this.queue.length >= maxBatch) void this.runBatch();
    else this.timer ??= setTimeout(() => void this.runBatch(), maxWait);
  }

  private async runBatch(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const batch = this.take();
    if (batch.length === 0) return;
    this.running++;
    try {
      await this.embed(batch);
    } finally {
      this.running--;
      this.schedule();
    }
  }

  /** The pictures of the next batch; those that nobody waits for any more are let go. */
  private take(): Waiting[] {
    const [gone, waited] = [this.queue.filter(isGone), this.queue.filter((waiting) => !isGone(waiting))];
    for (const { signal, reject } of gone) reject(signal.reason);
    this.queue = waited.slice(this.options.maxBatch);
    return waited.slice(0, this.options.maxBatch);
  }

  private async embed(batch: readonly Waiting[]): Promise<void> {
    const started = performance.now();
    try {
      const embeddings = await this.options.pool.run(joinPixels(batch.map(({ image }) => image)));
      const width = embeddings.length / batch.length;
      batch.forEach(({ resolve }, i) => {
        resolve(embeddings.slice(i * width, (i + 1) * width));
      });
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    this.options.onBatch(batch.length, (performance.now() - started) / 1000);
  }
}

function isGone({ signal }: Waiting): boolean {
  return signal.aborted;
}
