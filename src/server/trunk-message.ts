import type { BackboneOptions } from '../backbone/index.js';
import type { Transform } from '../images/index.js';

/** What the main thread knows of the trunk, whose graph is the worker's alone. */
export interface TrunkInfo {
  id: string;
  source: string;
  transform: Transform;
  transformId: string;
  /** Width of the embeddings. */
  width: number;
}

/** What the worker is started with. */
export type TrunkOptions = Omit<BackboneOptions, 'onNotice'>;

/** RGB bytes [N, crop, crop, 3]. */
export interface Batch {
  id: number;
  pixels: Uint8Array;
}

/** To the worker: a batch, or that there will be no more. */
export type TrunkRequest = Batch | 'end';

/** From the worker: first whether there is a trunk, then one answer for each batch; embeddings are [N, width]. */
export type TrunkMessage =
  | { kind: 'notice'; line: string }
  | { kind: 'ready'; trunk: TrunkInfo }
  | { kind: 'unusable'; reason: string }
  | { kind: 'embedded'; id: number; embeddings: Float32Array }
  | { kind: 'failed'; id: number; reason: string };
