import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { PathPoint } from '../head/choose-l2.js';
import type { Head } from '../head/head.js';
import type { CurvePoint } from '../head/learning-curve.js';
import type { Calibration } from '../head/metrics.js';
import { asCalled } from '../util/errors.js';
import { htmlInterval as interval, htmlPercent as percent } from '../util/format.js';
import type { ReportEvaluation, TrainingMetrics } from './evaluate.js';
import { details, html, Html, table, type Section } from './html.js';

/** A bin with fewer predictions is drawn pale. */
const FEW = 10;

/** Calibration, the learning curve, and how λ was chosen. */
export function curvesSection(
  { kind, result }: ReportEvaluation,
  { l2 }: Head,
  { learningCurve, crossValidation }: TrainingMetrics,
): Section {
  const path = crossValidation?.path ?? [];
  return {
    id: 'curves',
    title: 'Curves',
    content: html`<div class="two">
      ${reliabilityDiagram(result.calibration, kind === 'softmax' ? 'predicted class' : 'label')}
      ${learningCurve ? learningCurveFigure(learningCurve) : html`<p>No learning curve was measured. <code>${asCalled('npm run train-head -- --learning-curve')}</code> measures one.</p>`}
      ${path.length > 1 ? l2PathFigure(path, l2) : undefined}
    </div>`,
  };
}

/** How often predictions are right, by their probability. @param of what the probability is of */
function reliabilityDiagram({ bins, ece }: Calibration, of: string): Html {
  const filled = bins.flatMap(({ from, to, count, confidence, accuracy }) =>
    confidence === null || accuracy === null ? [] : [{ from, to, count, confidence, accuracy }],
  );
  const error = `The expected calibration error is ${percent(ece)}.`;
  return figure({
    id: 'reliability',
    title: 'Calibration',
    description: `Reliability diagram: how often predictions are right, by the probability of the ${of}. ${error}`,
    caption:
      `If bars end at the dashed line, you can trust the probabilities: 80 % means right in 80 % of cases. Bars of fewer ` +
      `than ${FEW} predictions are pale. ${error}`,
    plot: {
      height: 340,
      x: { labelOffset: 42, domain: [0, 100], label: `probability of the ${of}`, percent: true },
      y: { domain: [0, 100], label: 'right, %', percent: true, grid: true },
      marks: [
        Plot.rect(filled, {
          x1: 'from',
          x2: 'to',
          y1: 0,
          y2: 'accuracy',
          inset: 1,
          fill: 'var(--accent)',
          fillOpacity: ({ count }: { count: number }) => (count < FEW ? 0.35 : 0.85),
        }),
        Plot.line([[0, 0], [1, 1]], { stroke: 'currentColor', strokeDasharray: '4 4' }), // prettier-ignore
        Plot.dot(filled, { x: 'confidence', y: 'accuracy', r: 4, fill: 'currentColor' }),
      ],
    },
    table: [
      ['probability', 'predictions', 'mean probability', 'right'],
      ...filled.map(({ from, to, count, confidence, accuracy }) => [
        `${percent(from)} to ${percent(to)}`,
        String(count),
        percent(confidence),
        percent(accuracy),
      ]),
    ],
  });
}

/** How accuracy or mAP grows with the number of pictures. */
function learningCurveFigure(points: readonly CurvePoint[]): Html {
  const metric = points.some(({ meanAveragePrecision }) => meanAveragePrecision !== undefined) ? 'mAP' : 'accuracy';
  const drawn = points.flatMap(({ rows, accuracy, accuracyInterval, meanAveragePrecision }) => {
    const score = accuracy ?? meanAveragePrecision ?? undefined;
    return score === undefined ? [] : [{ rows, score, low: accuracyInterval?.[0], high: accuracyInterval?.[1] }];
  });
  const [first, last] = [drawn[0], drawn.at(-1)];
  const hasBand = drawn.every(({ low, high }) => low !== undefined && high !== undefined);
  return figure({
    id: 'learning-curve',
    title: 'Learning curve',
    description: `Learning curve: ${metric} from ${percent(first?.score)} with ${first?.rows ?? 0} pictures to ${percent(last?.score)} with ${last?.rows ?? 0}.`,
    caption:
      `If ${metric} still rises at the right end, more pictures will help.` +
      (hasBand ? ' The band is the 95 % interval.' : ''),
    plot: {
      height: 300,
      x: {
        type: 'log',
        label: 'training pictures',
        ticks: drawn.map(({ rows }) => rows),
        tickFormat: String,
      },
      y: { label: `${metric}, %`, percent: true, grid: true },
      marks: [
        ...(hasBand
          ? [Plot.areaY(drawn, { x: 'rows', y1: 'low', y2: 'high', fill: 'var(--accent)', fillOpacity: 0.2 })]
          : []),
        Plot.line(drawn, { x: 'rows', y: 'score', stroke: 'var(--accent)', strokeWidth: 2.5 }),
        Plot.dot(drawn, { x: 'rows', y: 'score', r: 4.5, fill: 'var(--accent)' }),
      ],
    },
    table: [
      ['pictures', metric, ...(hasBand ? ['95 % interval'] : [])],
      ...points.map(({ rows, accuracy, meanAveragePrecision, accuracyInterval }) => [
        String(rows),
        percent(accuracy ?? meanAveragePrecision),
        ...(hasBand ? [interval(accuracyInterval ?? null)] : []),
      ]),
    ],
  });
}

/** How the log loss depends on λ. */
function l2PathFigure(path: readonly PathPoint[], chosen: number): Html {
  const least = Math.min(...path.map(({ logLoss }) => logLoss));
  return figure({
    id: 'l2-path',
    title: 'Penalty λ',
    description: `Log loss in cross-validation by lambda: ${least.toFixed(3)} at best. Lambda ${chosen} was chosen.`,
    caption: `Cross-validation chose λ = ${chosen}. With larger λ the head underfits, with smaller λ it overfits. Bars are standard errors.`,
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
      ...path.map(({ l2, logLoss, standardError, accuracy }) => [
        String(l2),
        logLoss.toFixed(3),
        standardError.toFixed(3),
        percent(accuracy),
      ]),
    ],
  });
}

/** The powers of ten within the path. More ticks would crowd the axis. */
function powersOfTen(path: readonly PathPoint[]): number[] {
  const exponents = path.map(({ l2 }) => Math.log10(l2));
  const [low, high] = [Math.ceil(Math.min(...exponents) - 1e-6), Math.floor(Math.max(...exponents) + 1e-6)];
  return Array.from({ length: Math.max(0, high - low + 1) }, (_, i) => Number(`1e${low + i}`));
}

interface FigureOptions {
  id: string;
  title?: string | undefined;
  /** What the figure shows, for those who cannot see it. */
  description: string;
  caption: string;
  plot: Plot.PlotOptions;
  /** The data: a header and rows. */
  table?: readonly (readonly string[])[] | undefined;
  /** Elements that get an attribute with their index, in the order of the data. */
  mark?: { selector: string; attribute: string } | undefined;
}

/** What is used of a DOM element. The types of the DOM belong to src/browser alone. */
interface DomElement {
  outerHTML: string;
  setAttribute: (name: string, value: string) => void;
  removeAttribute: (name: string) => void;
  querySelectorAll: (selector: string) => Iterable<DomElement>;
}

/** Draws a figure as SVG, with its description, caption and data. It uses the page's colours, so it turns dark with it. */
export function figure({ id, title, description, caption, plot, table: data, mark }: FigureOptions): Html {
  const { document } = parseHTML('<!doctype html><html><body></body></html>') as unknown as {
    document: unknown;
  };
  const svg = Plot.plot({
    document,
    width: 640,
    marginTop: 34,
    marginBottom: 46,
    ...plot,
    style: { background: 'transparent', fontSize: '13px', overflow: 'visible' },
  }) as unknown as DomElement;
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', description);
  if (mark) {
    [...svg.querySelectorAll(mark.selector)].forEach((element, i) => {
      element.setAttribute(mark.attribute, String(i));
    });
  }
  // Plot names the parts of the figure, but the parts of an image must have no names.
  for (const part of svg.querySelectorAll('g[aria-label]')) part.removeAttribute('aria-label');
  return html`<figure id="${id}">
    ${title === undefined ? undefined : html`<h3>${title}</h3>`} ${new Html(svg.outerHTML)}
    <figcaption>${caption}</figcaption>
    ${data && details('Show as a table', table(data))}
  </figure>`;
}
