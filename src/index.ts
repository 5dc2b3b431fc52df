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

export const train: typeof import('./classify/train-classifier.js').train = lazily(
  async () => (await import('./classify/train-classifier.js')).train,
);

export const load: typeof import('./classify/classifier.js').Classifier.load = lazily(async () => {
  const { Classifier } = await import('./classify/classifier.js');
  return (headFile, options) => Classifier.load(headFile, options);
});

export const evaluateDataset: typeof import('./classify/evaluate.js').evaluateDataset = lazily(
  async () => (await import('./classify/evaluate.js')).evaluateDataset,
);

export const checkData: typeof import('./check/check-data.js').checkData = lazily(
  async () => (await import('./check/check-data.js')).checkData,
);

export const searchSimilar: typeof import('./classify/search.js').searchSimilar = lazily(
  async () => (await import('./classify/search.js')).searchSimilar,
);

export const makeReport: typeof import('./report/report.js').makeReport = lazily(
  async () => (await import('./report/report.js')).makeReport,
);

export const exportOnnx: typeof import('./export/onnx.js').exportOnnx = lazily(
  async () => (await import('./export/onnx.js')).exportOnnx,
);

export const startServer: typeof import('./server/server.js').startServer = lazily(
  async () => (await import('./server/server.js')).startServer,
);

export const fetchModel: typeof import('./backbone/fetch/fetch-model.js').fetchModel = lazily(
  async () => (await import('./backbone/fetch/fetch-model.js')).fetchModel,
);
