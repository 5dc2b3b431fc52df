import * as Plot from '@observablehq/plot';
import { htmlPercent as percent } from '../util/format.js';
import type { EvaluatedPicture } from './evaluate.js';
import { figure } from './figures.js';
import { html, type Section } from './html.js';
import { isRight } from './pictures.js';
import { describeThreshold, MARGINS, STEPS, type Thresholds } from './threshold.js';

/** The slider begins at the lowest threshold from which on so many decisions are right. */
const WANTED_PRECISION = 0.95;

/** Rows of the table. */
const LISTED = [0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];

/** Counts what a head would decide at each threshold of certainty. */
export function thresholdsOf(pictures: readonly EvaluatedPicture[]): Thresholds {
  const [decided, right] = [new Array<number>(STEPS + 1).fill(0), new Array<number>(STEPS + 1).fill(0)];
  for (const picture of pictures) {
    const last = Math.min(STEPS, Math.floor(picture.certainty * STEPS));
    const gain = Number(isRight(picture));
    for (let step = 0; step <= last; step++) {
      decided[step]!++;
      right[step]! += gain;
    }
  }
  return { total: pictures.length, decided, right };
}

/** What is gained if the head decides only where it is certain, and a person looks at the rest. */
export function certaintySection(thresholds: Thresholds, kind: 'softmax' | 'multilabel'): Section {
  const { total, decided, right } = thresholds;
  const points = decided.map((reached, step) => ({
    threshold: step / STEPS,
    precision: reached === 0 ? null : right[step]! / reached,
    recall: right[step]! / total,
    left: (total - reached) / total,
  }));
  const found = points.findIndex(({ precision }) => precision !== null && precision >= WANTED_PRECISION);
  const start = found < 0 ? STEPS / 2 : found;
  const what = kind === 'softmax' ? 'the predicted class' : 'its least certain label';
  const curves = [
    ['precision', 'precision', 'var(--accent)', undefined],
    ['recall', 'recall', 'var(--ink)', undefined],
    ['left', 'left to a person (dashed)', 'var(--soft)', '5 4'],
  ] as const;
  return {
    id: 'certainty',
    title: 'Where to trust it',
    content: html`<p>
        Let the head decide where the probability of ${what} reaches a threshold, and a person look at the rest.
      </p>
      <div class="two">
        <div>
          <p class="threshold screen">
            <label for="threshold">Threshold</label>
            <input
              type="range"
              id="threshold"
              min="0"
              max="${STEPS}"
              value="${start}"
              aria-valuetext="${percent(start / STEPS)}"
            />
          </p>
          <p><output id="threshold-text" for="threshold">${describeThreshold(thresholds, start)}</output></p>
          <ul class="legend" aria-label="Curves">
            ${curves.map(([, name, colour]) => html`<li><i style="background:${colour}"></i>${name}</li>`)}
          </ul>
          <p>
            Precision is the fraction of its decisions that are right. Recall is the fraction of all pictures that it
            decides rightly.
          </p>
        </div>
        ${figure({
          id: 'threshold-figure',
          description: 'Precision, recall and the fraction that is left to a person, by the threshold of certainty.',
          caption: 'The vertical line is the threshold that the slider sets.',
          plot: {
            height: 320,
            marginLeft: MARGINS.left,
            marginRight: MARGINS.right,
            x: { domain: [0, 100], percent: true, label: 'threshold, %', labelOffset: 42 },
            y: { domain: [0, 100], percent: true, label: '%', grid: true },
            marks: [
              ...curves.map(([y, , stroke, strokeDasharray]) =>
                Plot.line(points, {
                  x: 'threshold',
                  y,
                  stroke,
                  strokeWidth: 2.5,
                  ...(strokeDasharray !== undefined && { strokeDasharray }),
                }),
              ),
              Plot.ruleX([start / STEPS], { stroke: 'rgb(var(--wrong))', strokeWidth: 1.5 }),
            ],
          },
          mark: { selector: 'g[aria-label="rule"] line', attribute: 'data-threshold' },
          table: [
            ['threshold', 'precision', 'recall', 'left to a person'],
            ...LISTED.map((threshold) => {
              const { precision, recall, left } = points[Math.round(threshold * STEPS)]!;
              return [percent(threshold), percent(precision), percent(recall), percent(left)];
            }),
          ],
        })}
      </div>`,
  };
}
