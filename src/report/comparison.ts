import {
  CHANGES,
  type ChangedPicture,
  type ComparedPrediction,
  type Comparison,
  figuresOf,
  verdictOf,
} from '../classify/compare.js';
import { count, htmlPercent as percent, sentence } from '../util/format.js';
import { definitions, html, table, type Html, type Section } from './html.js';
import type { PictureFiles } from './pictures.js';
import { image, place } from './sections.js';

/** Changed pictures of each kind that are shown. */
const SHOWN = 24;

/** Two heads on the same pictures, and those that changed. */
export function comparisonSection(comparison: Comparison, files: PictureFiles): Section {
  const { a, b, count: pictures, split, trainedOn, unknown, changed } = comparison;
  const left = [
    ...(trainedOn > 0 ? [`${count(trainedOn)} that a head was trained on`] : []),
    ...unknown.map(({ label, count: n }) => `${count(n)} of ${label}, which one of the heads does not know`),
  ];
  return {
    id: 'comparison',
    title: 'Comparison',
    content: html`<p><strong>${verdictOf(comparison).text}</strong></p>
      <div class="summary">
        <div>
          ${definitions('about', [
            ['A', `${a.name}, on ${a.modelId}`],
            ['B', `${b.name}, on ${b.modelId}`],
            ['pictures', `${count(pictures)}${split ? ` of the split ${split}` : ''}, new to both heads`],
            ...(left.length > 0 ? [['left out', left.join('; ')] as const] : []),
          ])}
        </div>
        <div>${table(figuresOf(comparison, percent))}</div>
      </div>
      ${CHANGES.map(([change, title]) => {
        const found = changed.filter((picture) => picture.change === change);
        const shown = found.slice(0, SHOWN);
        if (found.length === 0) return html``;
        return html`<h3>
            ${sentence(title)} (${shown.length < found.length ? `${shown.length} of ` : ''}${count(found.length)})
          </h3>
          <ul class="gallery">
            ${shown.map((picture) => card(picture, files))}
          </ul>`;
      })}`,
  };
}

/** The changed pictures that the section shows. */
export function shownChanges({ changed }: Comparison): ChangedPicture[] {
  return CHANGES.flatMap(([kind]) => changed.filter(({ change }) => change === kind).slice(0, SHOWN));
}

function card({ path, change, labels, a, b }: ChangedPicture, files: PictureFiles): Html {
  const truth = named(labels);
  const names = [...new Set([...labels, ...a.labels, ...b.labels])];
  return html`<li data-labels="${JSON.stringify(names)}">
    ${image(files, path, truth)}
    <b>${truth}</b>
    ${prediction('A', a, change === 'broken')} ${prediction('B', b, change === 'fixed')} ${place(files, path)}
  </li>`;
}

function prediction(head: string, { labels, certainty }: ComparedPrediction, isRight: boolean): Html {
  return html`<span class="${isRight ? 'right' : 'wrong'}">${head}: ${named(labels)}, ${percent(certainty)}</span>`;
}

function named(labels: readonly string[]): string {
  return labels.length === 0 ? 'none of the labels' : labels.join(', ');
}
