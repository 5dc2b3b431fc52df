/** The public API. */
export {
  Backbone,
  featureCandidates,
  fetchModel,
  inspectBackbone,
  int8Backbone,
  loadBackbone,
  quantizeBackbone,
  speedRatio,
  TORCHVISION_MODELS,
  TrunkPool,
} from './backbone/index.js';
export type {
  BackboneOptions,
  Device,
  FeatureCandidate,
  Features,
  FetchedModel,
  FetchOptions,
  Layer,
  ModelCard,
  QuantizedBackbone,
  QuantizeOptions,
  SpeedOptions,
  TransformChanges,
  Trunk,
  WeightsName,
} from './backbone/index.js';
export {
  Classifier,
  embedImages,
  evaluateDataset,
  evaluateMultilabelDataset,
  measureFidelity,
  predictOwnClasses,
  trainAnyFromStore,
  searchSimilar,
  trainFromStore,
} from './classifier/index.js';
export type {
  Classification,
  ClassifierOptions,
  DatasetEvaluation,
  EvaluateOptions,
  Fidelity,
  FidelityOptions,
  HeadFidelity,
  ImageSource,
  MultilabelDatasetEvaluation,
  SearchOptions,
  SimilarPicture,
  TrainedHead,
  TrainedMultilabelHead,
  TrainOptions,
} from './classifier/index.js';
export { embedDataset, EmbeddingStore, EmbeddingTable } from './embeddings/index.js';
export type {
  DatasetRecord,
  EmbeddingRow,
  EmbedOptions,
  EmbedProgress,
  EmbedSummary,
  RowFilter,
} from './embeddings/index.js';
export { LastlayerError, UsageError } from './errors.js';
export { exportEmbeddings, exportOnnx, exportSafetensors } from './export/index.js';
export type {
  ExportCheck,
  ExportedEmbeddings,
  ExportedOnnx,
  ExportEmbeddingsOptions,
  ExportOnnxOptions,
  OnnxInput,
  TableFormat,
} from './export/index.js';
export {
  DEFAULT_L2,
  Evaluation,
  Head,
  loadHead,
  MultilabelEvaluation,
  saveHead,
  trainHead,
  trainMultilabelHead,
} from './head/index.js';
export type {
  Baselines,
  Calibration,
  ClassMetrics,
  ClassWeights,
  CurvePoint,
  EvaluationResult,
  HeadKind,
  HeldOutResult,
  Iteration,
  L2Rule,
  LabelMetrics,
  MultilabelBaselines,
  MultilabelCurvePoint,
  MultilabelHeldOutResult,
  MultilabelResult,
  PathPoint,
  Prediction,
  TrainHeadOptions,
  TrainMultilabelHeadOptions,
  TrainingReport,
  TuneProgress,
  UnknownDetector,
  UnknownRule,
} from './head/index.js';
export { checkData } from './quality/index.js';
export type { CheckDataOptions, CheckProgress, DataCheck, Finding, Issue } from './quality/index.js';
export { makeReport } from './report/index.js';
export type { Report, ReportOptions } from './report/index.js';
export { startServer } from './server/index.js';
export type { LogOptions, RunningServer, ServerOptions } from './server/index.js';
export type { RawPixels, Split, Transform, View, ViewSet } from './images/index.js';
