import type { EmbeddingTable } from '../embeddings/index.js';
import type { View } from '../images/index.js';

export interface ViewsOfRows {
  dataset: string;
  /** Each file's row. */
  rowOf: ReadonlyMap<string, number>;
  /** sha256 of each row's picture: views of what the file held before do not count; [M]. */
  contents: readonly string[];
  views: readonly View[];
}

/** Which further views the store has of some rows; they are in the order of the rows, and within a row in that of the views. */
export class ViewIndex {
  /** How many further views each row has; [M]. */
  readonly counts: Int32Array;
  /** Each view's row; [K]. */
  readonly rows: Int32Array;
  private readonly starts: Int32Array;

  private constructor(
    private readonly of: ViewsOfRows,
    /** Of each row, a bit for each of `views` that it has; [M]. */
    private readonly present: Uint32Array,
  ) {
    this.counts = Int32Array.from(present, bits);
    this.starts = new Int32Array(present.length + 1);
    this.counts.forEach((count, row) => {
      this.starts[row + 1] = (this.starts[row] ?? 0) + count;
    });
    this.rows = new Int32Array(this.starts.at(-1) ?? 0);
    this.counts.forEach((_, row) => this.rows.fill(row, this.starts[row], this.starts[row + 1]));
  }

  static async read(table: EmbeddingTable, of: ViewsOfRows): Promise<ViewIndex> {
    const index = new ViewIndex(of, new Uint32Array(of.contents.length));
    const { dataset, views } = of;
    if (views.length === 0) return index;
    const present = new Uint32Array(of.contents.length);
    for await (const block of table.read({ dataset, views, failed: false }, ['path', 'view', 'sha256'])) {
      for (const { path, view, sha256 } of block) {
        const row = index.rowOf(path, sha256 ?? '');
        if (row !== undefined) present[row] = (present[row] ?? 0) | (1 << index.numberOf(view));
      }
    }
    return new ViewIndex(of, present);
  }

  /** A view's place, 0 … K − 1; undefined where it is none of the rows'. */
  placeOf(path: string, view: string, content: string): number | undefined {
    const row = this.rowOf(path, content);
    if (row === undefined) return undefined;
    const before = (1 << this.numberOf(view)) - 1;
    return (this.starts[row] ?? 0) + bits((this.present[row] ?? 0) & before);
  }

  private rowOf(path: string, content: string): number | undefined {
    const row = this.of.rowOf.get(path);
    return row !== undefined && this.of.contents[row] === content ? row : undefined;
  }

  private numberOf(view: string): number {
    return this.of.views.findIndex((name) => name === view);
  }
}

function bits(value: number): number {
  let count = 0;
  for (let rest = value; rest !== 0; rest >>>= 1) count += rest & 1;
  return count;
}
