import * as Plot from '@observablehq/plot';
import type { EmbeddingMap } from './embedding-map.js';
import { html, type Html } from './html.js';
import { details, figure } from './plot.js';
import { count, percent } from '../util/text.js';

/** Classes that get a colour of their own; of more, the hue goes round. */
const PALETTE = [
  '#4269d0',
  '#efb118',
  '#ff725c',
  '#3ca951',
  '#a463f2',
  '#6cc5b0',
  '#ff8ab7',
  '#9c6b4e',
  '#97bbf5',
  '#9498a0',
];

/** The colour of a class. */
function classColour(n: number, classes: number): string {
  return classes <= PALETTE.length
    ? (PALETTE[n] ?? '')
    : `hsl(${Math.round((360 * n) / classes)} 65% ${n % 2 === 0 ? 45 : 62}%)`;
}

/** Classes up to which they are named. */
const LEGEND_UP_TO = 60;

export interface MapPicture {
  label: number;
  isRight: boolean;
  /** Its number in the report's list of pictures. */
  picture: number;
}

/** Maps of the embeddings, on which mouse and arrow keys show the pictures. */
export function mapSection(
  maps: readonly EmbeddingMap[],
  pictures: readonly MapPicture[],
  labels: readonly string[],
  total: number,
): Html {
  const [first, ...others] = maps;
  if (!first) return html``;
  const present = [...new Set(pictures.map(({ label }) => label))].sort((a, b) => a - b);
  return html`<section id="map">
    <h2>A map of the pictures</h2>
    <p>
      ${pictures.length === total ? `The ${count(total)} pictures that it was judged on` : `${count(pictures.length)} of the ${count(total)} pictures that it was judged on`},
      by their embeddings alone: what lies together looks alike to the network. Colours are the true classes;
      crosses are mistakes.
      <span class="screen">Point at a picture, or tab to the map and use the arrow keys.</span>
    </p>
    ${present.length > LEGEND_UP_TO ? undefined : legend(present, labels)}
    <div class="maps">
      <div>
        ${drawn(first, pictures, labels)}
        ${others.map((map) => details(`The same by ${map.name}`, drawn(map, pictures, labels)))}
      </div>
      <aside id="preview" aria-live="polite">
        <p>The picture that is pointed at shows here.</p>
      </aside>
    </div>
  </section>`;
}

/** Buttons that single out a class. */
function legend(present: readonly number[], labels: readonly string[]): Html {
  return html`<ul class="legend" aria-label="Classes">
    ${present.map(
      (n) =>
        html`<li>
          <button type="button" aria-pressed="false" data-class="${n}">
            <i style="background:${classColour(n, labels.length)}"></i>${labels[n]}
          </button>
        </li>`,
    )}
  </ul>`;
}

function drawn(
  { name, points, explained }: EmbeddingMap,
  pictures: readonly MapPicture[],
  labels: readonly string[],
): Html {
  const data = points.map(([x, y], i) => {
    const { label = 0, isRight = true } = pictures[i] ?? {};
    return { x, y, colour: classColour(label, labels.length), symbol: isRight ? 'circle' : 'times' };
  });
  const how =
    explained === undefined
      ? 'UMAP of the first 50 principal components: neighbours are kept together, distances between groups mean little.'
      : `The first two principal components, which hold ${percent(explained)} of the variance.`;
  return html`<div
    class="map"
    tabindex="0"
    role="group"
    aria-label="Map of the pictures by ${name}; arrow keys go from picture to picture"
  >
    ${figure({
      id: `map-${name.toLowerCase()}`,
      description: `Map of ${pictures.length} pictures by ${name}, coloured by class.`,
      caption: how,
      plot: {
        height: 520,
        x: { axis: null },
        y: { axis: null },
        symbol: { type: 'identity' },
        marks: [
          Plot.dot(data, {
            x: 'x',
            y: 'y',
            r: 4,
            symbol: 'symbol',
            sort: null,
            fill: ({ symbol, colour }: (typeof data)[number]) => (symbol === 'times' ? 'none' : colour),
            stroke: 'colour',
            strokeWidth: ({ symbol }: (typeof data)[number]) => (symbol === 'times' ? 2 : 0.5),
          }),
        ],
      },
      mark: { selector: 'g[aria-label="dot"] path', attribute: 'data-point' },
    })}
  </div>`;
}
