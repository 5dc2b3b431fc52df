/** The public API. */
export { Backbone, type Features } from './backbone/backbone.js';
export { fetchModel, type FetchOptions } from './backbone/fetch/fetch-model.js';
export { featureCandidates, inspectBackbone, type FeatureCandidate, type Layer } from './backbone/inspect.js';
export { loadBackbone, type BackboneOptions } from './backbone/load.js';
export type { ModelCard } from './backbone/model-card.js';
export type { TransformChanges } from './backbone/model.js';
export type { WrittenModel } from './backbone/models.js';
export { BackbonePool, type BackboneRunner } from './backbone/pool.js';
export {
  int8Backbone,
  quantizeBackbone,
  speedRatio,
  type QuantizedBackbone,
  type QuantizeOptions,
  type SpeedOptions,
} from './backbone/quantize/quantize.js';
export type { Device } from './backbone/device.js';
export { TORCHVISION_MODELS, type WeightsName } from './backbone/torchvision.js';
export { checkData, type CheckDataOptions, type CheckProgress, type DataCheck } from './check/check-data.js';
export type { Finding, Issue } from './check/finding.js';
export {
  Classifier,
  embedImages,
  predictPretrainedClasses,
  type Classification,
  type Classified,
  type ClassifierOptions,
} from './classify/classifier.js';
export {
  compareClassifiers,
  loadCompared,
  type ChangedPicture,
  type ComparedClassifier,
  type CompareOptions,
  type Comparison,
} from './classify/compare.js';
export { evaluateDataset, type DatasetEvaluation, type EvaluateOptions } from './classify/evaluate.js';
export { measureFidelity, type Fidelity, type FidelityOptions, type HeadFidelity } from './classify/fidelity.js';
export type { ImageSource } from './classify/image-source.js';
export { listModels, type ListedModel, type ModelList, type ModelUsers } from './classify/model-list.js';
export { searchSimilar, type SearchOptions, type SimilarPicture } from './classify/search.js';
export type { StreamOptions } from './classify/stream.js';
export { trainFromStore, type TrainedHead, type TrainOptions } from './classify/train.js';
export type { Split } from './data/dataset.js';
export { embedDataset, type EmbedOptions, type EmbedProgress, type EmbedSummary } from './embed/embed.js';
export type { OnnxInput, TableFormat } from './export/formats.js';
export { exportOnnx, type ExportCheck, type ExportedOnnx, type ExportOnnxOptions } from './export/onnx.js';
export { exportSafetensors } from './export/safetensors.js';
export { exportEmbeddings, type ExportedEmbeddings, type ExportEmbeddingsOptions } from './export/tables.js';
export type { L2Rule, PathPoint } from './head/choose-l2.js';
export type { ClassWeights } from './head/examples.js';
export { loadHead, saveHead } from './head/file.js';
export { DEFAULT_L2 } from './head/fit.js';
export { Head, type Prediction, type TrainingReport, type UnknownDetector } from './head/head.js';
export type { Iteration } from './head/lbfgs.js';
export type { CurvePoint } from './head/learning-curve.js';
export {
  Evaluation,
  MultilabelEvaluation,
  type Calibration,
  type ClassMetrics,
  type EvaluationResult,
  type LabelMetrics,
  type MultilabelResult,
} from './head/metrics.js';
export type { Baselines, HeadKind, MultilabelBaselines } from './head/task.js';
export { trainHead, type HeldOutResult, type TrainHeadOptions, type TuneProgress } from './head/train.js';
export type { Typicality, TypicalScores, UnknownRate, UnknownRule } from './head/unknown.js';
export type { RawPixels } from './image/decode.js';
export type { Transform } from './image/transform.js';
export type { View, ViewSet } from './image/views.js';
export { makeReport, type Report, type ReportOptions } from './report/report.js';
export type { LogOptions, ServerOptions } from './server/options.js';
export { startServer, type RunningServer } from './server/server.js';
export type { RowFilter } from './store/filter.js';
export type { EmbeddingRow } from './store/row.js';
export { EmbeddingStore, type DatasetRecord } from './store/store.js';
export { EmbeddingTable } from './store/table.js';
export { LastlayerError, UsageError } from './util/errors.js';
