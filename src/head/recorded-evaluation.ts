import type { Head } from './head.js';
import type { EvaluationResult, MultilabelResult } from './metrics.js';
import { isObject } from '../util/json.js';

/**
 * How good a head was found to be in training, on pictures that it, or in cross-validation the head of the fold, had not seen: the
 * metrics of its kind, and where the pictures come from.
 */
export type RecordedEvaluation = {
  on: 'validation split' | 'held-out part' | 'cross-validation';
} & (
  | ({ kind: 'softmax'; /** As {@link EvaluationResult}'s, row by row. */ confusion: number[][] } & Omit<
      EvaluationResult,
      'confusion'
    >)
  | ({ kind: 'multilabel' } & MultilabelResult)
);

/** @returns null if the head's metrics hold none */
export function recordedEvaluation({ kind, metrics }: Pick<Head, 'kind' | 'metrics'>): RecordedEvaluation | null {
  if (!isObject(metrics) || !isObject(metrics['validation'])) return null;
  const { validation, validatedOn: on } = metrics;
  const [score, perClass] = kind === 'softmax' ? ['accuracy', 'perClass'] : ['meanAveragePrecision', 'perLabel'];
  const isScore = validation[score] === null || typeof validation[score] === 'number';
  if (typeof on !== 'string' || typeof validation['count'] !== 'number' || !isScore) return null;
  if (!Array.isArray(validation[perClass])) return null;
  return { kind, on, ...validation } as unknown as RecordedEvaluation;
}
