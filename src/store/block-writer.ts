import type { EmbeddingRow } from './row.js';

export interface BlockOptions {
  /** Rows in a block. @default 512 */
  blockRows?: number | undefined;
  /** Milliseconds after which the next row closes a block, full or not. @default 2000 */
  blockMs?: number | undefined;
}

/** Writes rows in blocks, one at a time, while more are put. If a block cannot be written, its rows are kept. */
export class BlockWriter {
  private readonly blockRows: number;
  private readonly blockMs: number;
  private pending = new Map<string, EmbeddingRow>();
  /** The block that is being written, and the end of that. */
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

  /** The rows that were put and may not have been written yet, the oldest first. */
  get unwritten(): EmbeddingRow[] {
    return [...(this.writing?.rows.values() ?? []), ...this.pending.values()];
  }

  /**
   * Takes a row, in place of an unwritten one with the same key. It is written in the background, with the next `flush` at the
   * latest. Waits only if a whole block has come while the one before it is still being written.
   * @throws what the writing of an earlier block threw; its rows are kept for the next `flush`
   */
  async put(row: EmbeddingRow): Promise<void> {
    this.pending.set(JSON.stringify([row.dataset, row.path, row.view]), row);
    while (this.writing && this.pending.size >= this.blockRows) await this.writing.done;
    this.throwFailure();
    const isDue = this.pending.size >= this.blockRows || Date.now() - this.lastFlush > this.blockMs;
    if (isDue && !this.writing) void this.startWriting();
  }

  /** Writes what was put so far. @throws what the writing threw; the rows are kept for the next `flush` */
  async flush(): Promise<void> {
    await this.writing?.done;
    this.failure = undefined;
    if (this.pending.size > 0) await this.startWriting();
    this.throwFailure();
  }

  /** Never rejects; see `throwFailure`. */
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
