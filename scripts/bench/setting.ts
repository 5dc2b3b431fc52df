/** The input of all contestants. */
export interface Setting {
  /** Absolute path. */
  dataset: string;
  /** For temporary files. */
  folder: string;
  model: string;
  int8: string | undefined;
  data: TrainingData;
}

/** Embeddings and labels on disk: little-endian float32 [rows, width], and a JSON list of class numbers. */
export interface TrainingData {
  embeddings: string;
  labels: string;
  width: number;
  l2: number;
}

/** One measurement of a competitor; it runs in a process of its own and returns figures by name. */
export interface Contestant {
  name: string;
  run: () => Promise<Record<string, number>>;
}

export const RATE = 'end to end, images/s';
export const ALLOWED = 'what the two allow, images/s';
export const SHARE = 'end to end, of what the two allow';
export const MEAN_COSINE = 'cosine with torchvision’s pixels in float32, mean';
export const LOWEST_COSINE = 'cosine with torchvision’s pixels in float32, lowest';
export const TRAINING = 'training the head, s';
