/**
 * What most programs need. Each function loads what it needs when it is first called. All else is in `lastlayer/backbone`,
 * `lastlayer/head` and so on, by the folders of the source.
 */
import { lazily } from './util/lazily.js';

export type {
  Classification,
  Classifier,
  ClassifierOptions,
  Predicted,
  PredictAllOptions,
  PredictedClass,
} from './classify/classifier.js';
export type { ImageSource } from './classify/image-source.js';
export type { TrainClassifierOptions, TrainProgress } from './classify/train-classifier.js';
export type { RecordedEvaluation } from './head/recorded-evaluation.js';
export type { RawPixels } from './image/decode.js';
export { LastlayerError, UsageError, type ErrorCode } from './util/errors.js';

/** Trains a classifier on the pictures of a data set. */
export const train: typeof import('./classify/train-classifier.js').train = lazily(
  async () => (await import('./classify/train-classifier.js')).train,
);

/** Loads a classifier: a head's file, and the backbone that the head was trained on. */
export const load: typeof import('./classify/classifier.js').Classifier.load = lazily(async () => {
  const { Classifier } = await import('./classify/classifier.js');
  return (headFile, options) => Classifier.load(headFile, options);
});

/** Evaluates a classifier on a labelled data set. */
export const evaluateDataset: typeof import('./classify/evaluate.js').evaluateDataset = lazily(
  async () => (await import('./classify/evaluate.js')).evaluateDataset,
);

/** Finds duplicates, leaks, likely label errors and odd pictures in an embedded data set. */
export const checkData: typeof import('./check/check-data.js').checkData = lazily(
  async () => (await import('./check/check-data.js')).checkData,
);

/** Finds the pictures of an embedded data set that are most similar to a given one. */
export const searchSimilar: typeof import('./classify/search.js').searchSimilar = lazily(
  async () => (await import('./classify/search.js')).searchSimilar,
);

/** Makes the HTML report on a head. */
export const makeReport: typeof import('./report/report.js').makeReport = lazily(
  async () => (await import('./report/report.js')).makeReport,
);

/** Writes a classifier as one ONNX model, and checks it. */
export const exportOnnx: typeof import('./export/onnx.js').exportOnnx = lazily(
  async () => (await import('./export/onnx.js')).exportOnnx,
);

/** Starts the HTTP server. */
export const startServer: typeof import('./server/server.js').startServer = lazily(
  async () => (await import('./server/server.js')).startServer,
);

/** Gets a backbone: one of torchvision's, or your own file. */
export const fetchModel: typeof import('./backbone/fetch/fetch-model.js').fetchModel = lazily(
  async () => (await import('./backbone/fetch/fetch-model.js')).fetchModel,
);
