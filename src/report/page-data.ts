import type { Thresholds } from './threshold.js';

/** What the report's page gives its script (`src/browser/report/page.ts`), as JSON. */
export interface PageData {
  thresholds: Thresholds;
  labels: readonly string[];
  pictures: readonly ListedPicture[];
  /** Pictures behind each cell of the confusion matrix, by `true,predicted`; indices into `pictures`. */
  cells: Readonly<Record<string, readonly number[]>>;
  /** The picture of each point of the maps; indices into `pictures`. */
  points: readonly number[];
  /** How the heat maps of pictures are drawn, if there are any: what the network sees of a picture. */
  heat: { seen: { resize: number; crop: number } } | null;
}

/** Where a label was seen in a picture. */
export interface HeatData {
  label: string;
  rows: number;
  /** A byte for each place, row after row, in base64; 255 is the brightest colour. */
  bytes: string;
}

export interface ListedPicture {
  /** A data URI; empty if there is no thumbnail, or a gallery of the page has it. */
  uri: string;
  name: string;
  path: string;
  /** Address of the file, relative to the report; empty if it has none. */
  href: string;
  /** Indices into `labels`. */
  label: number;
  predicted: number;
  /** Probability of the prediction; 0 … 1. */
  p: number;
  /** 0 … 1; null if the head does not tell it. */
  typicality: number | null;
  /** Whether it is unlike the training pictures. */
  unknown: boolean;
}
