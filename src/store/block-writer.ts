import type { EmbeddingRow } from './row.js';

/** How large the blocks are. */
export interface BlockOptions {
  /** Rows are written in blocks of this many, or whatever there is after so many milliseconds. Default: 512 and 2,000. */
  blockRows?: number | undefined;
  blockMs?: number | undefined;
}

/** Writes rows in blocks while further ones are put: one block at a time, and none of its rows is lost where it fails. */
export class BlockWriter {
  private readonly blockRows: number;
  private readonly blockMs: number;
  private pending = new Map<string, EmbeddingRow>();
  /** The block that is being written, and its end. */
  private writing: { rows: Map<string, EmbeddingRow>; done: Promise<void> } | undefined;
  private failure: { reason: unknown } | undefined;
  private lastFlush = Date.now();

  constructor(
    private readonly write: (rows: readonly EmbeddingRow[]) => Promise<void>,
    { blockRows = 512, blockMs = 2_000 }: BlockOptions = {},
  ) {
    this.blockRows = blockRows;
    this.blockMs = blockMs;
  }

  /** The rows that were put and are not known to be written, the oldest first. */
  get unwritten(): EmbeddingRow[] {
    return [...(this.writing?.rows.values() ?? []), ...this.pending.values()];
  }

  /**
   * Takes a row in place of the file's earlier one of the same view; it is written while others are put, at the latest with the
   * next `flush`. Waits only where a whole block has come while the one before it is still being written.
   * @throws what the writing of an earlier block threw; its rows are kept for the next `flush`
   */
  async put(row: EmbeddingRow): Promise<void> {
    this.pending.set(JSON.stringify([row.dataset, row.path, row.view]), row);
    while (this.writing && this.pending.size >= this.blockRows) await this.writing.done;
    this.throwFailure();
    const isDue = this.pending.size >= this.blockRows || Date.now() - this.lastFlush > this.blockMs;
    if (isDue && !this.writing) void this.startWriting();
  }

  /**
   * Writes what was put so far.
   * @throws what the writing threw; the rows are kept for the next `flush`
   */
  async flush(): Promise<void> {
    await this.writing?.done;
    this.failure = undefined;
    if (this.pending.size > 0) await this.startWriting();
    this.throwFailure();
  }

  /** Begins a block of the rows put so far. The promise never rejects; `throwFailure` tells. */
  private startWriting(): Promise<void> {
    const rows = this.pending;
    this.pending = new Map();
    this.lastFlush = Date.now();
    const done = this.write([...rows.values()])
      .catch((reason: unknown) => {
        this.failure = { reason };
        this.pending = new Map([...rows, ...this.pending]);
      })
      .finally(() => {
        this.writing = undefined;
      });
    this.writing = { rows, done };
    return done;
  }

  private throwFailure(): void {
    const { failure } = this;
    this.failure = undefined;
    if (failure) throw failure.reason;
  }
}
