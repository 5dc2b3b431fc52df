export { Classifier, embedImages } from './classifier.js';
export type { ImageSource } from './classifier.js';
export { evaluateDataset } from './evaluate.js';
export type { DatasetEvaluation, EvaluateOptions } from './evaluate.js';
export { metricsJson } from './metrics-json.js';
export { predictOwnClasses } from './own-classes.js';
export { trainFromStore } from './train.js';
export type { TrainedHead, TrainOptions } from './train.js';
