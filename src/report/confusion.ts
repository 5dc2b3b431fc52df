import type { Matrix } from 'ml-matrix';
import { sum } from '../util/math.js';
import { html, type Html } from './html.js';
import { tableOf } from './plot.js';
import { percent } from '../util/text.js';

/** Classes up to which the whole matrix is shown; of more, those that are confused the most. */
const MOST_CLASSES = 24;

/** Pairs of classes that are listed. */
const MOST_PAIRS = 12;

/** The confusion matrix as a table whose filled cells are buttons, and the pairs that are confused the most. */
export function confusionSection(confusion: Matrix, labels: readonly string[]): Html {
  const shown = shownClasses(confusion);
  const pairs = confusedPairs(confusion).slice(0, MOST_PAIRS);
  return html`<section id="confusion">
    <h2>What is taken for what</h2>
    <p>
      True classes down, predicted ones across.
      <span class="screen">Every cell opens the pictures behind it.</span>${
        shown.length < labels.length
          ? ` Of ${labels.length} classes, the ${shown.length} with the most mistakes are shown.`
          : ''
      }
    </p>
    <div class="scroll" tabindex="0" role="group" aria-label="Confusion matrix">
      <table class="confusion">
        <caption class="hidden">
          Confusion matrix: true classes down, predicted classes across
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
    ${
      pairs.length === 0
        ? html`<p>No mistakes.</p>`
        : html`<h3>Confused the most</h3>
            ${tableOf([
              ['true → predicted', 'pictures', 'of the class'],
              ...pairs.map(({ i, j, n, share }) => [
                `${labels[i] ?? ''} → ${labels[j] ?? ''}`,
                String(n),
                percent(share),
              ]),
            ])}`
    }
  </section>`;
}

function cell(confusion: Matrix, labels: readonly string[], i: number, j: number): Html {
  const n = confusion.get(i, j);
  if (n === 0) return html`<td class="none">·</td>`;
  const share = n / total(confusion, i);
  const kind = i === j ? 'right' : 'wrong';
  const name = `${n} of ${labels[i] ?? ''} taken for ${labels[j] ?? ''}: show pictures`;
  return html`<td>
    <button
      type="button"
      class="${kind}${share > 0.5 ? ' strong' : ''}"
      style="--share:${(0.12 + 0.88 * share).toFixed(2)}"
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
  const mistakes = all.map(
    (i) => total(confusion, i) + sum(confusion.getColumn(i)) - 2 * confusion.get(i, i),
  );
  return all
    .sort((a, b) => (mistakes[b] ?? 0) - (mistakes[a] ?? 0))
    .slice(0, MOST_CLASSES)
    .sort((a, b) => a - b);
}

function confusedPairs(confusion: Matrix): { i: number; j: number; n: number; share: number }[] {
  return confusion
    .to2DArray()
    .flatMap((row, i) =>
      row.flatMap((n, j) => (i === j || n === 0 ? [] : [{ i, j, n, share: n / total(confusion, i) }])),
    )
    .sort((a, b) => b.n - a.n || b.share - a.share);
}

function total(confusion: Matrix, i: number): number {
  return sum(confusion.getRow(i));
}
