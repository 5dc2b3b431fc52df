/** The last layer: train it on features of any kind, evaluate it, keep it in a file. */
export type { L2Rule, PathPoint } from '../head/choose-l2.js';
export type { ClassWeights } from '../head/examples.js';
export { loadHead, saveHead } from '../head/file.js';
export { DEFAULT_L2 } from '../head/fit.js';
export { Head, type HeadFields, type Prediction, type TrainingReport, type UnknownDetector } from '../head/head.js';
export type { Iteration, StopReason } from '../head/lbfgs.js';
export type { CurvePoint } from '../head/learning-curve.js';
export {
  Evaluation,
  MultilabelEvaluation,
  type Calibration,
  type ClassMetrics,
  type EvaluationResult,
  type LabelMetrics,
  type MultilabelResult,
  type ReliabilityBin,
} from '../head/metrics.js';
export type { RecordedEvaluation } from '../head/recorded-evaluation.js';
export type { Baseline, Baselines, HeadKind, MostCommonClass, MultilabelBaselines } from '../head/task.js';
export { trainHead, type HeldOutResult, type TrainHeadOptions, type TuneProgress } from '../head/train.js';
export type { Typicality, TypicalScores, UnknownRate, UnknownRule } from '../head/unknown.js';
export type { JsonValue } from '../util/json.js';
