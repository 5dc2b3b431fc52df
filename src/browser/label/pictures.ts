/** The page's copy of the server's columns. Only what the server says changes it. */
import type { Issue } from '../../check/finding.js';
import type { FindingsAnswer, LabelEvent, PictureColumns, PictureId, Suggestions } from '../../label/protocol.js';

const SPLITS = [null, 'train', 'val', 'test'] as const;
export type Split = (typeof SPLITS)[number];

/** In place of a class: none. */
export const NONE = 65535;

const NO_LABELS: readonly number[] = [];

/** What may be wrong with a picture. */
export interface PictureFinding {
  issue: Issue;
  /** In words. */
  detail: string;
}

export class Pictures {
  readonly names: string[] = [];
  readonly widths: number[] = [];
  readonly heights: number[] = [];
  readonly problems: (string | null)[] = [];
  #labels: (readonly number[])[] = [];
  #splits = new Uint8Array(0);
  #labelled = new Uint8Array(0);
  #leftOut = new Uint8Array(0);
  #best = new Uint16Array(0);
  #second = new Uint16Array(0);
  #probability = new Float32Array(0);
  #secondProbability = new Float32Array(0);
  /** Lists of one label, so that pictures with the same label share theirs. */
  readonly #ofOne: (readonly number[])[] = [];
  #namesByRank: Uint32Array | undefined;
  #findings: ReadonlyMap<PictureId, readonly PictureFinding[]> | undefined;

  constructor(columns: PictureColumns) {
    this.add(columns);
  }

  get count(): number {
    return this.names.length;
  }

  /** Puts new pictures behind those that are there. */
  add({ name, labels, labelled, split, leftOut, width, height, problem }: PictureColumns): void {
    const first = this.count;
    for (const [i, one] of name.entries()) {
      this.names.push(one);
      this.widths.push(width[i]!);
      this.heights.push(height[i]!);
      this.problems.push(problem[i] ?? null);
      this.#labels.push(this.#shared(labels[i]!));
    }
    this.#splits = longer(this.#splits, this.count, 0);
    this.#labelled = longer(this.#labelled, this.count, 0);
    this.#leftOut = longer(this.#leftOut, this.count, 0);
    this.#best = longer(this.#best, this.count, NONE);
    this.#second = longer(this.#second, this.count, NONE);
    this.#probability = longer(this.#probability, this.count, 0);
    this.#secondProbability = longer(this.#secondProbability, this.count, 0);
    for (const i of name.keys()) {
      this.#splits[first + i] = SPLITS.indexOf(split[i] ?? null);
      this.#labelled[first + i] = Number(labelled[i]);
      this.#leftOut[first + i] = Number(leftOut[i]);
    }
    this.#namesByRank = undefined;
  }

  change({ pictures, labels, labelled, leftOut, split }: Extract<LabelEvent, { kind: 'change' }>): void {
    for (const [i, id] of pictures.entries()) {
      this.#labels[id] = this.#shared(labels[i]!);
      this.#labelled[id] = Number(labelled[i]);
      this.#leftOut[id] = Number(leftOut[i]);
      this.#splits[id] = SPLITS.indexOf(split[i] ?? null);
    }
  }

  suggest({ best, second, probability, secondProbability }: Suggestions): void {
    // A picture that came meanwhile has none yet.
    this.#best = longer(new Uint16Array(bytes(best)), this.count, NONE);
    this.#second = longer(new Uint16Array(bytes(second)), this.count, NONE);
    this.#probability = longer(new Float32Array(bytes(probability)), this.count, 0);
    this.#secondProbability = longer(new Float32Array(bytes(secondProbability)), this.count, 0);
  }

  find({ findings }: FindingsAnswer): void {
    const found = new Map<PictureId, PictureFinding[]>();
    for (const { issue, pictures, details } of findings) {
      for (const [i, id] of pictures.entries()) {
        const known = found.get(id);
        if (known) known.push({ issue, detail: details[i]! });
        else found.set(id, [{ issue, detail: details[i]! }]);
      }
    }
    this.#findings = found;
  }

  /** Whether it is known what may be wrong with pictures. */
  get isChecked(): boolean {
    return this.#findings !== undefined;
  }

  /** The most serious first. */
  findings(id: PictureId): readonly PictureFinding[] {
    return this.#findings?.get(id) ?? [];
  }

  /** Indices of classes. */
  labels(id: PictureId): readonly number[] {
    return this.#labels[id] ?? NO_LABELS;
  }

  /** Whether somebody has said what is in it; of several labels, that may be none. */
  isLabelled(id: PictureId): boolean {
    return this.#labelled[id] === 1;
  }

  split(id: PictureId): Split {
    return SPLITS[this.#splits[id]!]!;
  }

  isLeftOut(id: PictureId): boolean {
    return this.#leftOut[id] === 1;
  }

  /** The most likely class, or `NONE`. */
  best(id: PictureId): number {
    return this.#best[id]!;
  }

  /** That of the most likely class; 0 … 1. */
  probability(id: PictureId): number {
    return this.#best[id] === NONE ? 0 : this.#probability[id]!;
  }

  second(id: PictureId): number {
    return this.#second[id]!;
  }

  secondProbability(id: PictureId): number {
    return this.#secondProbability[id]!;
  }

  /** For each picture, its place by name: `2.jpg` before `10.jpg`. */
  rankByName(id: PictureId): number {
    this.#namesByRank ??= ranks(this.names);
    return this.#namesByRank[id]!;
  }

  #shared(labels: readonly number[]): readonly number[] {
    if (labels.length === 0) return NO_LABELS;
    const [only] = labels;
    if (labels.length > 1 || only === undefined) return labels;
    return (this.#ofOne[only] ??= [only]);
  }
}

function ranks(names: readonly string[]): Uint32Array {
  const order = Array.from(names.keys());
  const { compare } = new Intl.Collator('en', { numeric: true });
  order.sort((a, b) => compare(names[a]!, names[b]!));
  const found = new Uint32Array(names.length);
  for (const [rank, id] of order.entries()) found[id] = rank;
  return found;
}

function longer<T extends Uint8Array | Uint16Array | Float32Array>(column: T, length: number, fill: number): T {
  if (column.length >= length) return column;
  const Column = column.constructor as new (length: number) => T;
  const grown = new Column(length);
  grown.set(column);
  grown.fill(fill, column.length);
  return grown;
}

/** What a column is in base64. All browsers that matter run on little-endian processors. */
function bytes(base64: string): ArrayBuffer {
  const text = atob(base64);
  const found = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) found[i] = text.charCodeAt(i);
  return found.buffer;
}

/** 0.934 as `93 %`; never `100 %` of what is not certain. */
export function certainty(probability: number): string {
  const percent = Math.round(100 * probability);
  return percent === 100 && probability < 1 ? '> 99\u00a0%' : `${percent}\u00a0%`;
}
