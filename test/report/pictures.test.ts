import type { EvaluatedPicture, ReportEvaluation } from '../../src/report/evaluate.js';
import { choosePictures, pathsOf } from '../../src/report/pictures.js';

const CLASSES = 60;

/** So many pictures, of which every tenth is taken for another class. */
function evaluationOf(kind: 'softmax' | 'multilabel', count: number): ReportEvaluation {
  const pictures = Array.from({ length: count }, (_, row): EvaluatedPicture => {
    const label = row % CLASSES;
    const predicted = row % 10 === 0 ? (label + 1 + (row % 7)) % CLASSES : label;
    const certainty = (row % 997) / 997;
    const probabilities = new Map([label, predicted].map((n) => [n, certainty]));
    const path = `/photos/${row}.jpg`;
    return {
      row,
      path,
      labels: [label],
      predicted: [predicted],
      certainty,
      typicality: certainty,
      unknown: false,
      probabilities,
    };
  });
  return { kind, pictures } as ReportEvaluation;
}

// With 10 issues of 8 findings, each with another picture, and 3 kinds of 24 changes, that is less than 2,400.
it.each(['softmax', 'multilabel'] as const)('a report on a %s head shows a bounded number of pictures', (kind) => {
  const { inGalleries, others } = pathsOf(choosePictures(evaluationOf(kind, 20_000), CLASSES));
  expect(new Set([...inGalleries, ...others]).size).toBeLessThan(2_400 - 10 * 8 * 2 - 3 * 24);
});
