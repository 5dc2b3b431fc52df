import type { FeatureBlock, FeatureSource } from '../../head/examples.js';
import { type ClassState, NOTHING_SAID, type PictureValue } from '../state.js';

/** Pictures for the learner, which come behind those that it has. */
export interface PicturesMessage {
  /** [room × width], shared. */
  embeddings: SharedArrayBuffer;
  width: number;
  paths: readonly string[];
  /** sha256 each; empty for one that cannot be read. */
  digests: readonly string[];
  widths: readonly number[];
  heights: readonly number[];
  problems: readonly (string | null)[];
  /** [pictures × 257] */
  fingerprints: Uint8Array;
}

/** What is said of the pictures, for the learner. */
export interface StateMessage {
  /** The number of the last change in it. */
  seq: number;
  /** The number of each picture's value; [M]. */
  valueOf: Int32Array;
  /** The values that were not sent before. */
  values: readonly PictureValue[];
  classes: readonly ClassState[];
  multilabel: boolean;
}

/** Rows that are worked on at a time. */
const BLOCK_ROWS = 2048;

/** What the learner knows: pictures, embeddings and labels. */
export class Material {
  readonly paths: string[] = [];
  readonly digests: string[] = [];
  readonly widths: number[] = [];
  readonly heights: number[] = [];
  readonly problems: (string | null)[] = [];
  readonly fingerprints: Uint8Array[] = [];
  readonly classes: ClassState[] = [];
  width = 0;
  seq = 0;
  multilabel = false;
  private matrix: Float32Array = new Float32Array();
  private readonly values: PictureValue[] = [];
  private valueOf: Int32Array = new Int32Array();
  private mean: Promise<Float32Array> | undefined;

  addPictures({ embeddings, width, fingerprints, ...columns }: PicturesMessage): void {
    this.width = width;
    this.matrix = new Float32Array(embeddings);
    this.mean = undefined;
    for (const name of ['paths', 'digests', 'widths', 'heights', 'problems'] as const) {
      const column: unknown[] = this[name];
      for (const value of columns[name]) column.push(value);
    }
    const size = fingerprints.length / columns.paths.length;
    for (let at = 0; at < fingerprints.length; at += size) this.fingerprints.push(fingerprints.subarray(at, at + size));
  }

  setState({ seq, valueOf, values, classes, multilabel }: StateMessage): void {
    this.seq = seq;
    this.valueOf = valueOf;
    this.multilabel = multilabel;
    this.values.push(...values);
    this.classes.splice(0, Infinity, ...classes);
  }

  get size(): number {
    return this.paths.length;
  }

  value(picture: number): PictureValue {
    // Of pictures that came just now, what is said of them comes next.
    return this.values[this.valueOf[picture]!] ?? NOTHING_SAID;
  }

  isReadable(picture: number): boolean {
    return this.digests[picture] !== '';
  }

  /** Whether a picture is part of the data set, and can be read. */
  isUsable(picture: number): boolean {
    return this.isReadable(picture) && !this.value(picture).leftOut;
  }

  /** The pictures that something holds of. */
  where(holds: (picture: number) => boolean): Int32Array {
    const found = new Int32Array(this.size);
    let count = 0;
    for (let picture = 0; picture < this.size; picture++) if (holds(picture)) found[count++] = picture;
    return found.slice(0, count);
  }

  /** Usable pictures that wait for a label. */
  unlabelled(): Int32Array {
    return this.where((picture) => this.isUsable(picture) && !this.value(picture).labelled);
  }

  /** Usable pictures that have labels, or are known to have none. */
  labelled(): Int32Array {
    return this.where((picture) => this.isUsable(picture) && this.value(picture).labelled);
  }

  /** Some pictures' embeddings as the rows 0, 1, …; all pictures if none are named. */
  source(pictures?: Int32Array): FeatureSource {
    const { width } = this;
    const count = pictures?.length ?? this.size;
    const blocks = async function* (this: Material): AsyncGenerator<FeatureBlock> {
      for (let start = 0; start < count; start += BLOCK_ROWS) {
        const end = Math.min(count, start + BLOCK_ROWS);
        // A copy: the runtime takes no memory that threads share. `slice` of such memory takes three times as long.
        const features = pictures ? this.rows(pictures.subarray(start, end)) : new Float32Array((end - start) * width);
        if (!pictures) features.set(this.matrix.subarray(start * width, end * width));
        yield await Promise.resolve({ rows: Int32Array.from({ length: end - start }, (_, i) => start + i), features });
      }
    };
    return { width, inMemory: true, room: count, blocks: blocks.bind(this) };
  }

  /** Some pictures' embeddings; [pictures × width]. */
  rows(pictures: Int32Array): Float32Array {
    const { width } = this;
    const rows = new Float32Array(pictures.length * width);
    pictures.forEach((picture, i) => {
      rows.set(this.matrix.subarray(picture * width, (picture + 1) * width), i * width);
    });
    return rows;
  }

  /**
   * Directions of some pictures from the mean of all: centred and of length 1, so that products are centred cosines; see
   * `nearestNeighbours`.
   */
  async directions(pictures: Int32Array): Promise<Float32Array> {
    const { width } = this;
    const mean = await (this.mean ??= this.meanOfAll());
    const rows = this.rows(pictures);
    for (let at = 0; at < rows.length; at += width) {
      let square = 0;
      for (let j = 0; j < width; j++) square += (rows[at + j]! -= mean[j]!) ** 2;
      const length = Math.sqrt(square) || 1;
      for (let j = 0; j < width; j++) rows[at + j]! /= length;
    }
    return rows;
  }

  private async meanOfAll(): Promise<Float32Array> {
    const sums = new Float64Array(this.width);
    let count = 0;
    for await (const { rows, features } of this.source().blocks()) {
      rows.forEach((picture, i) => {
        if (!this.isReadable(picture)) return;
        count++;
        for (let j = 0; j < this.width; j++) sums[j]! += features[i * this.width + j]!;
      });
    }
    return Float32Array.from(sums, (sum) => sum / Math.max(1, count));
  }
}
