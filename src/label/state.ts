import type { Split } from '../data/dataset.js';
import type { ClassInfo, QueueName } from './protocol.js';

/** What the session says of a picture. Values are shared: pictures of which the same is said have the same one. */
export interface PictureValue {
  /** Indices of classes, ascending. One at most, unless pictures have lists of labels. */
  readonly labels: readonly number[];
  /** Whether somebody has said what is in it, be it none of the labels. */
  readonly labelled: boolean;
  readonly leftOut: boolean;
  readonly split: Split | null;
  readonly group: string | null;
  /** null for 1. */
  readonly weight: number | null;
  /** Queues whose findings about the picture are settled, in code unit order. */
  readonly confirmed: readonly QueueName[];
}

export const NOTHING_SAID: PictureValue = {
  labels: [],
  labelled: false,
  leftOut: false,
  split: null,
  group: null,
  weight: null,
  confirmed: [],
};

/** Of a picture before the step that adds it. */
export const NOT_YET_ADDED: PictureValue = { ...NOTHING_SAID, leftOut: true };

/** A class: its index is its place among all classes of the session. */
export interface ClassState {
  name: string;
  removed: boolean;
}

/** What has become of a class. */
export interface ClassChange {
  index: number;
  /** A removed one if there was none. */
  before: ClassState;
  after: ClassState;
}

/** One thing that was done, to be undone as a whole. */
export interface Step {
  /** Of the action. */
  id: string;
  kind: string;
  /** In words. */
  done: string;
  pictures: Int32Array;
  /** The numbers of their values, see {@link LabelState.valueOf}. */
  before: Int32Array;
  after: Int32Array;
  classes: readonly ClassChange[];
}

/** How a step changes a picture. */
export type Change = readonly [picture: number, after: PictureValue];

/**
 * The labels of all pictures and everything that was done to them. The pictures are columns of numbers, so that a hundred thousand
 * of them take half a megabyte.
 */
export class LabelState {
  readonly classes: ClassState[] = [];
  /** Pictures of each class that are not left out; in the order of the classes. */
  private readonly counts: number[] = [];
  private readonly values: PictureValue[] = [];
  private readonly numbers = new Map<string, number>();
  private held = new Int32Array(1024);
  private length = 0;
  private readonly steps: Step[] = [];
  /** How many of the steps are not undone. */
  private taken = 0;

  constructor(
    /** Whether pictures have lists of labels. */
    readonly multilabel: boolean,
  ) {}

  /** How many pictures there are. */
  get size(): number {
    return this.length;
  }

  /** The number of each picture's value, which never changes its meaning; [M]. Not to be written to. */
  get valueOf(): Int32Array {
    return this.held.subarray(0, this.length);
  }

  value(picture: number): PictureValue {
    return this.values[this.held[picture]!]!;
  }

  /** @param number see {@link valueOf} */
  valueNumbered(number: number): PictureValue {
    return this.values[number]!;
  }

  /** The values whose numbers are `first` or more. */
  valuesFrom(first: number): readonly PictureValue[] {
    return this.values.slice(first);
  }

  get canUndo(): boolean {
    return this.taken > 0;
  }

  get canRedo(): boolean {
    return this.taken < this.steps.length;
  }

  classInfo(): ClassInfo[] {
    return this.classes.map(({ name, removed }, n) => ({ name, count: this.counts[n]!, removed }));
  }

  /** The index of a class that is not removed. */
  indexOf(name: string): number | undefined {
    const index = this.classes.findIndex((each) => each.name === name && !each.removed);
    return index < 0 ? undefined : index;
  }

  /** The index of a class; adds it if there is none, not as a step. */
  ensureClass(name: string): number {
    const known = this.indexOf(name);
    if (known !== undefined) return known;
    this.counts.push(0);
    return this.classes.push({ name, removed: false }) - 1;
  }

  /** Adds a picture behind those that are there. */
  addPicture(value: PictureValue): void {
    if (this.length === this.held.length) {
      const larger = new Int32Array(2 * this.length);
      larger.set(this.held);
      this.held = larger;
    }
    this.held[this.length++] = this.numberOf(value);
    this.count(value, 1);
  }

  /**
   * The step that makes these changes, which is not taken yet. Changes that change nothing are left out of it.
   * @param classes what it does to classes; added ones take the next indices
   */
  step(
    { id, kind, done }: Pick<Step, 'id' | 'kind' | 'done'>,
    changes: Iterable<Change>,
    classes: readonly ClassChange[] = [],
  ): Step {
    const [pictures, before, after]: [number[], number[], number[]] = [[], [], []];
    for (const [picture, value] of changes) {
      const number = this.numberOf(value);
      if (number === this.held[picture]) continue;
      pictures.push(picture);
      before.push(this.held[picture]!);
      after.push(number);
    }
    return {
      id,
      kind,
      done,
      classes,
      pictures: Int32Array.from(pictures),
      before: Int32Array.from(before),
      after: Int32Array.from(after),
    };
  }

  /** Takes a step. What was undone before cannot be redone any more. */
  take(step: Step): void {
    this.steps.length = this.taken;
    this.steps.push(step);
    this.taken++;
    this.put(step, 'after');
  }

  /** The step that {@link undo} would take back, or {@link redo} take again. */
  next(way: 'undo' | 'redo'): Step | undefined {
    return this.steps[way === 'undo' ? this.taken - 1 : this.taken];
  }

  undo(): void {
    const step = this.next('undo');
    if (!step) return;
    this.taken--;
    this.put(step, 'before');
  }

  redo(): void {
    const step = this.next('redo');
    if (!step) return;
    this.taken++;
    this.put(step, 'after');
  }

  private put({ pictures, classes, ...numbers }: Step, which: 'before' | 'after'): void {
    for (const change of classes) {
      if (change.index === this.classes.length) this.counts.push(0);
      this.classes[change.index] = change[which];
    }
    pictures.forEach((picture, i) => {
      this.count(this.value(picture), -1);
      this.held[picture] = numbers[which][i]!;
      this.count(this.value(picture), 1);
    });
  }

  private count({ labels, leftOut }: PictureValue, by: number): void {
    if (!leftOut) for (const n of labels) this.counts[n]! += by;
  }

  private numberOf(value: PictureValue): number {
    const { labels, labelled, leftOut, split, group, weight, confirmed } = value;
    const key = JSON.stringify([labels, labelled, leftOut, split, group, weight, confirmed]);
    const known = this.numbers.get(key);
    if (known !== undefined) return known;
    const number = this.values.push(value) - 1;
    this.numbers.set(key, number);
    return number;
  }
}
