import type { BackboneOptions } from '../backbone/load.js';

import { DEFAULT_HEAD, DEFAULT_STORE } from '../util/defaults.js';
import type { WithDefaults } from '../util/validate.js';

export interface LabelOptions extends Omit<BackboneOptions, 'neededBy'> {
  /** A folder of pictures, or a manifest; or the manifest that an earlier session wrote, to go on with that. */
  dataset: string;
  /** Classes to offer besides those that pictures have. @default none */
  labels?: readonly string[] | undefined;
  /** Whether pictures have any number of labels, where nothing is labelled yet. @default false */
  multilabel?: boolean | undefined;
  /** The manifest to write, a .csv; the journal lies beside it. @default `photos.labels.csv`, beside `photos` */
  out?: string | undefined;
  /** The head to write. @default 'head.safetensors' */
  head?: string | undefined;
  /** Folder or address of the store. @default 'embeddings' */
  store?: string | undefined;
  /** 0 takes any free port. @default 8081 */
  port?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: LabelProgress) => void) | undefined;
}

/** How far long work is. */
export interface LabelProgress {
  /** In words, such as `embedding`. */
  task: string;
  done: number;
  total: number;
  /** How much of `done` took time. */
  worked: number;
}

export const DEFAULTS = {
  labels: [] as readonly string[],
  multilabel: false,
  head: DEFAULT_HEAD,
  store: DEFAULT_STORE,
  port: 8081,
} as const;

export type LabelSettings = WithDefaults<LabelOptions, typeof DEFAULTS>;
