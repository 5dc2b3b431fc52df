import type { Random } from '../examples/random.js';

export interface Setting {
  /** Empty, and removed at the end. */
  folder: string;
  /** Pictures to work on, in folders of classes; never changed. */
  dataset: string;
  /** The network; the bundled one where none is given. */
  model?: string;
  /** How many kills, or repetitions. */
  rounds: number;
  random: Random;
  /** Told what is done. */
  onProgress?: (line: string) => void;
}

/** What a scenario did, for the table. */
export interface Report {
  /** How often the fault was there: processes that were killed, disks that were full, … */
  faults: number;
  /** What was seen besides. */
  seen: string;
}

/** Brings a fault about. @throws where something is lost, torn or told badly */
export type Scenario = (setting: Setting) => Promise<Report>;

/** Where a fault cannot be brought about on this machine. */
export class NotHere extends Error {}

/** Of a small network: a file that takes some room, and little time to run. */
export const LARGE = { width: 2000, stride: 32 };

export function modelFlags({ model }: Setting): string[] {
  return model === undefined ? [] : ['--model', model];
}
