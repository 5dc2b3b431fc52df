import { sum } from '../util/math.js';
import { htmlPercent as percent } from '../util/format.js';
import type { Matrix } from '../util/matrix.js';
import { html, table, type Html, type Section } from './html.js';

/** Classes in the matrix. If there are more, those with the most mistakes are shown. */
const MOST_CLASSES = 24;

/** Pairs of classes that are listed. */
const MOST_PAIRS = 12;

/** The confusion matrix, whose filled cells are buttons, and the pairs of classes that are confused most. */
export function confusionSection(confusion: Matrix, labels: readonly string[]): Section {
  const shown = shownClasses(confusion);
  const pairs = confusedPairs(confusion).slice(0, MOST_PAIRS);
  const pairRows = pairs.map(({ i, j, n, fraction }) => [
    `${labels[i]!} → ${labels[j]!}`,
    String(n),
    percent(fraction),
  ]);
  return {
    id: 'confusion',
    title: 'Confusion matrix',
    content: html`<p>
        Rows are true classes, columns are predicted ones.
        <span class="screen">Click a cell to see its pictures.</span>${
          shown.length < labels.length
            ? ` Of ${labels.length} classes, the ${shown.length} with the most mistakes are shown.`
            : ''
        }
      </p>
      <div class="two">
        <div>
          <div class="scroll" tabindex="0" role="group" aria-label="Confusion matrix">
            <table class="confusion">
              <caption class="hidden">
                Confusion matrix: rows are true classes, columns are predicted ones
              </caption>
              <thead>
                <tr>
                  <td></td>
                  ${shown.map((j) => html`<th scope="col"><span>${labels[j]}</span></th>`)}
                </tr>
              </thead>
              <tbody>
                ${shown.map(
                  (i) =>
                    html`<tr>
                      <th scope="row">${labels[i]}</th>
                      ${shown.map((j) => cell(confusion, labels, i, j))}
                    </tr>`,
                )}
              </tbody>
            </table>
          </div>
        </div>
        <div>
          ${
            pairs.length === 0
              ? html`<p>There are no mistakes.</p>`
              : html`<h3>Most confused</h3>
                  ${table([['true → predicted', 'pictures', 'of the true class'], ...pairRows])}`
          }
        </div>
      </div>`,
  };
}

function cell(confusion: Matrix, labels: readonly string[], i: number, j: number): Html {
  const n = confusion.get(i, j);
  if (n === 0) return html`<td class="none">·</td>`;
  const fraction = n / sum(confusion.getRow(i));
  const kind = i === j ? 'right' : 'wrong';
  const name = `${n} of ${labels[i]!} predicted ${labels[j]!}: show pictures`;
  return html`<td>
    <button
      type="button"
      class="${kind}${fraction > 0.5 ? ' strong' : ''}"
      style="--share:${(0.12 + 0.88 * fraction).toFixed(2)}"
      data-cell="${i},${j}"
      aria-haspopup="dialog"
      aria-label="${name}"
    >
      ${n}
    </button>
  </td>`;
}

function shownClasses(confusion: Matrix): number[] {
  const all = Array.from({ length: confusion.rows }, (_, i) => i);
  if (all.length <= MOST_CLASSES) return all;
  const mistakes = all.map((i) => sum(confusion.getRow(i)) + sum(confusion.getColumn(i)) - 2 * confusion.get(i, i));
  return all
    .sort((a, b) => mistakes[b]! - mistakes[a]!)
    .slice(0, MOST_CLASSES)
    .sort((a, b) => a - b);
}

function confusedPairs(confusion: Matrix): { i: number; j: number; n: number; fraction: number }[] {
  return confusion
    .to2DArray()
    .flatMap((row, i) => row.flatMap((n, j) => (i === j || n === 0 ? [] : [{ i, j, n, fraction: n / sum(row) }])))
    .sort((a, b) => b.n - a.n || b.fraction - a.fraction);
}
