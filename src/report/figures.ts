import * as Plot from '@observablehq/plot';
import type { PathPoint } from '../head/cross-validate.js';
import type { CurvePoint } from '../head/learning-curve.js';
import type { Calibration } from '../head/metrics.js';
import type { Html } from './html.js';
import { figure } from './plot.js';
import { interval, percent } from '../util/text.js';

/** How often predictions are right, by their probability. */
export function reliabilityDiagram({ bins, ece }: Calibration): Html {
  const filled = bins.flatMap(({ from, to, count, confidence, accuracy }) =>
    confidence === null || accuracy === null ? [] : [{ from, to, count, confidence, accuracy }],
  );
  const lines = filled.map(({ from, to, count, confidence, accuracy }) => [
    `${percent(from)} to ${percent(to)}`,
    String(count),
    percent(confidence),
    percent(accuracy),
  ]);
  return figure({
    id: 'reliability',
    description: `Reliability diagram: how often predictions are right, by their probability. Expected calibration error ${percent(ece)}.`,
    caption:
      `Bars on the dashed line mean that probabilities can be taken at their word: of pictures with 80 %, 80 % are right. ` +
      `Bars of few pictures are pale. Expected calibration error ${percent(ece)}.`,
    plot: {
      height: 340,
      x: { labelOffset: 42, domain: [0, 100], label: 'probability of the predicted class', percent: true },
      y: { domain: [0, 100], label: 'right, %', percent: true, grid: true },
      marks: [
        Plot.rect(filled, {
          x1: 'from',
          x2: 'to',
          y1: 0,
          y2: 'accuracy',
          inset: 1,
          fill: 'var(--accent)',
          fillOpacity: ({ count }: { count: number }) => (count < 10 ? 0.35 : 0.85),
        }),
        Plot.line([[0, 0], [1, 1]], { stroke: 'currentColor', strokeDasharray: '4 4' }), // prettier-ignore
        Plot.dot(filled, { x: 'confidence', y: 'accuracy', r: 4, fill: 'currentColor' }),
      ],
    },
    table: [['probability', 'pictures', 'mean probability', 'right'], ...lines],
  });
}

/** How accuracy grows with the number of pictures. */
export function learningCurveFigure(points: readonly CurvePoint[]): Html {
  const drawn = points.flatMap(({ rows, accuracy, accuracyInterval }) =>
    accuracy === null || !accuracyInterval
      ? []
      : [{ rows, accuracy, low: accuracyInterval[0], high: accuracyInterval[1] }],
  );
  const [first, last] = [drawn[0], drawn.at(-1)];
  return figure({
    id: 'learning-curve',
    description: `Learning curve: accuracy from ${percent(first?.accuracy)} with ${first?.rows ?? 0} pictures to ${percent(last?.accuracy)} with ${last?.rows ?? 0}.`,
    caption:
      'Where accuracy still rises at the right end, more pictures will help. The band is the 95 % interval.',
    plot: {
      height: 300,
      x: {
        type: 'log',
        label: 'training pictures',
        ticks: drawn.map(({ rows }) => rows),
        tickFormat: String,
      },
      y: { label: 'accuracy, %', percent: true, grid: true },
      marks: [
        Plot.areaY(drawn, { x: 'rows', y1: 'low', y2: 'high', fill: 'var(--accent)', fillOpacity: 0.2 }),
        Plot.line(drawn, { x: 'rows', y: 'accuracy', stroke: 'var(--accent)', strokeWidth: 2.5 }),
        Plot.dot(drawn, { x: 'rows', y: 'accuracy', r: 4.5, fill: 'var(--accent)' }),
      ],
    },
    table: [
      ['pictures', 'accuracy', '95 % interval'],
      ...points.map((p) => [String(p.rows), percent(p.accuracy), interval(p.accuracyInterval ?? null)]),
    ],
  });
}

/** How the mAP of a head of any number of labels grows with the number of pictures. */
export function mapCurveFigure(points: readonly CurvePoint[]): Html {
  const [first, last] = [points[0], points.at(-1)];
  return figure({
    id: 'learning-curve',
    description: `Learning curve: mAP from ${percent(first?.meanAveragePrecision)} with ${first?.rows ?? 0} pictures to ${percent(last?.meanAveragePrecision)} with ${last?.rows ?? 0}.`,
    caption: 'Where mAP still rises at the right end, more pictures will help.',
    plot: {
      height: 300,
      x: {
        type: 'log',
        label: 'training pictures',
        tickFormat: String,
        ticks: points.map(({ rows }) => rows),
      },
      y: { label: 'mAP, %', percent: true, grid: true },
      marks: [
        Plot.line(points, {
          x: 'rows',
          y: 'meanAveragePrecision',
          stroke: 'var(--accent)',
          strokeWidth: 2.5,
        }),
        Plot.dot(points, { x: 'rows', y: 'meanAveragePrecision', r: 4.5, fill: 'var(--accent)' }),
      ],
    },
    table: [['pictures', 'mAP'], ...points.map((p) => [String(p.rows), percent(p.meanAveragePrecision)])],
  });
}

/** How the log loss depends on λ. */
export function l2PathFigure(path: readonly PathPoint[], chosen: number): Html {
  const least = Math.min(...path.map(({ logLoss }) => logLoss));
  return figure({
    id: 'l2-path',
    description: `Log loss in cross-validation by lambda: least ${least.toFixed(3)}; lambda ${chosen} was chosen.`,
    caption: `The penalty λ was chosen by cross-validation: ${chosen}. To its right the head is held back too much, to its left it learns the training pictures by heart. Bars are standard errors.`,
    plot: {
      height: 300,
      x: { labelOffset: 42, type: 'log', label: 'λ', ticks: powersOfTen(path), tickFormat: String },
      y: { label: 'log loss, nats', grid: true, zero: true },
      marks: [
        Plot.ruleX(path, {
          x: 'l2',
          y1: ({ logLoss, standardError }: PathPoint) => logLoss - standardError,
          y2: ({ logLoss, standardError }: PathPoint) => logLoss + standardError,
          stroke: 'currentColor',
        }),
        Plot.line(path, { x: 'l2', y: 'logLoss', stroke: 'var(--accent)', strokeWidth: 2.5 }),
        Plot.dot(path, {
          x: 'l2',
          y: 'logLoss',
          stroke: 'var(--accent)',
          strokeWidth: 2,
          r: ({ l2 }: PathPoint) => (l2 === chosen ? 8 : 4),
          fill: ({ l2 }: PathPoint) => (l2 === chosen ? 'var(--accent)' : 'var(--page)'),
        }),
      ],
      r: { type: 'identity' },
    },
    table: [
      ['λ', 'log loss', 'standard error', 'accuracy'],
      ...path.map((p) => [
        String(p.l2),
        p.logLoss.toFixed(3),
        p.standardError.toFixed(3),
        percent(p.accuracy),
      ]),
    ],
  });
}

/** The powers of ten that the path goes over: other ticks would only crowd the axis. */
function powersOfTen(path: readonly PathPoint[]): number[] {
  const exponents = path.map(({ l2 }) => Math.log10(l2));
  const [low, high] = [Math.ceil(Math.min(...exponents) - 1e-6), Math.floor(Math.max(...exponents) + 1e-6)];
  return Array.from({ length: Math.max(0, high - low + 1) }, (_, i) => Number(`1e${low + i}`));
}
