/** Backbone and head together. */
export {
  Classifier,
  embedImages,
  predictPretrainedClasses,
  type Classification,
  type Classified,
  type ClassifierOptions,
  type Explained,
  type Predicted,
  type PredictAllOptions,
  type PredictedClass,
} from '../classify/classifier.js';
export {
  compareClassifiers,
  loadCompared,
  type ChangedPicture,
  type ComparedClassifier,
  type ComparedClassifiers,
  type ComparedHead,
  type ComparedPrediction,
  type CompareOptions,
  type Comparison,
} from '../classify/compare.js';
export { evaluateDataset, type DatasetEvaluation, type EvaluateOptions } from '../classify/evaluate.js';
export { measureFidelity, type Fidelity, type FidelityOptions, type HeadFidelity } from '../classify/fidelity.js';
export type { Explanation } from '../classify/explain.js';
export type { ImageSource } from '../classify/image-source.js';
export {
  listModels,
  type ListedModel,
  type ListModelsOptions,
  type ModelList,
  type ModelUsers,
} from '../classify/model-list.js';
export { searchSimilar, type SearchOptions, type SimilarPicture } from '../classify/search.js';
export type { StreamOptions } from '../classify/stream.js';
export { trainFromStore, type TrainedHead, type TrainOptions } from '../classify/train.js';
export { train, type TrainClassifierOptions, type TrainProgress } from '../classify/train-classifier.js';
export type { RawPixels } from '../image/decode.js';
export type { Region } from '../image/transform.js';
