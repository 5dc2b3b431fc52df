import type { Random } from '../support/random.js';

export interface Setting {
  /** Empty at first, and removed at the end. */
  folder: string;
  /** A folder of pictures in class folders, which is never changed. */
  dataset: string;
  /** Model file of the backbone. @default the bundled one */
  model?: string | undefined;
  /** Number of kills, or repetitions. */
  rounds: number;
  random: Random;
  onProgress?: ((line: string) => void) | undefined;
}

export interface Report {
  /** Number of faults: of killed processes, full disks, … */
  faults: number;
  /** What else was observed. */
  seen: string;
}

/** Causes a fault. @throws if something is lost or torn, or an error message is unclear */
export type Scenario = (setting: Setting) => Promise<Report>;

/** The fault cannot be caused on this machine. */
export class NotHere extends Error {}

/** Options of `smallNetwork` for a large file that runs fast. */
export const LARGE = { width: 2000, stride: 32 };

export function modelFlags({ model }: Setting): string[] {
  return model === undefined ? [] : ['--model', model];
}
