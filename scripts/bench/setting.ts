/** What all contestants work on. */
export interface Setting {
  /** Absolute path of a folder of pictures. */
  dataset: string;
  /** For what is written on the way. */
  folder: string;
  model: string;
  int8: string;
  data: TrainingData;
}

/** Embeddings and labels on disk: little-endian float32 [rows, width], and a JSON list of class numbers. */
export interface TrainingData {
  embeddings: string;
  labels: string;
  width: number;
  l2: number;
}

/** Runs something of a contestant in a process of its own and gives its figures. */
export interface Contestant {
  name: string;
  run: () => Promise<Record<string, number>>;
}

export const RATE = 'end to end, images/s';
export const TRAINING = 'training the head, s';
