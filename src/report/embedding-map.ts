import * as Plot from '@observablehq/plot';
import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { UMAP } from 'umap-js';
import type { FeatureSource } from '../head/examples.js';
import { sum } from '../util/math.js';
import { count, htmlPercent as percent } from '../util/format.js';
import { EigenvalueDecomposition, Matrix } from '../util/matrix.js';
import { figure } from './figures.js';
import { details, html, type Html, type Section } from './html.js';
import type { ListedPicture } from './page-data.js';

/** Principal components that UMAP reads. The rest is mostly noise, and would make it many times slower. */
const COMPONENTS = 50;

/** UMAP needs at least this many rows. */
const LEAST_FOR_UMAP = 20;

const SEED = 1;

/** Embeddings in the plane. */
export interface EmbeddingMap {
  name: 'PCA' | 'UMAP';
  /** [rows][2] */
  points: [number, number][];
  /** PCA only: the fraction of the variance along the two directions. */
  explained?: number | undefined;
}

/**
 * Maps embeddings by their first two principal components (the eigenvectors of the covariance matrix), and by UMAP (McInnes,
 * Healy and Melville 2018) of the first 50, which keeps neighbours together but not distances.
 * @returns UMAP, unless there are fewer than 20 rows, and PCA
 */
export async function mapEmbeddings(source: FeatureSource, rows: readonly number[]): Promise<EmbeddingMap[]> {
  const X = await embeddingsOf(source, rows);
  const centred = X.subRowVector(X.mean('column'));
  const covariance = centred
    .transpose()
    .mmul(centred)
    .div(Math.max(1, rows.length - 1));
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(covariance, { assumeSymmetric: true });
  const order = realEigenvalues.map((_, i) => i).sort((a, b) => realEigenvalues[b]! - realEigenvalues[a]!);
  const projected = centred.mmul(eigenvectorMatrix.subMatrixColumn(order.slice(0, COMPONENTS))).to2DArray();
  const ofTwo = sum(order.slice(0, 2).map((i) => realEigenvalues[i]!));
  const pca: EmbeddingMap = {
    name: 'PCA',
    points: firstTwo(projected),
    explained: ofTwo / (sum(realEigenvalues) || 1),
  };
  if (rows.length < LEAST_FOR_UMAP) return [pca];
  const umap = new UMAP({ nNeighbors: Math.min(15, rows.length - 1), random: seededRandom() });
  return [{ name: 'UMAP', points: firstTwo(umap.fit(projected)) }, pca];
}

async function embeddingsOf(source: FeatureSource, rows: readonly number[]): Promise<Matrix> {
  const indexOf = new Map(rows.map((row, i) => [row, i]));
  const X = Matrix.zeros(rows.length, source.width);
  for await (const block of source.blocks()) {
    block.rows.forEach((row, i) => {
      const index = indexOf.get(row);
      if (index === undefined) return;
      X.setRow(index, [...block.features.subarray(i * source.width, (i + 1) * source.width)]);
    });
  }
  return X;
}

function firstTwo(rows: readonly number[][]): [number, number][] {
  return rows.map(([x = 0, y = 0]) => [x, y]);
}

/** 0 … 1, always the same sequence. */
function seededRandom(): () => number {
  const generator = xoroshiro128plus(SEED);
  return () => uniformFloat32(generator);
}

/** Classes up to which there is a legend. */
const MOST_IN_LEGEND = 60;

/** The colours of classes. If there are more classes, their hues are spread over the circle. */
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

type Point = Pick<ListedPicture, 'label' | 'predicted'>;

/**
 * The maps. Mouse and arrow keys show the pictures.
 * @param pictures those on the maps, in the order of the points
 * @param total how many were evaluated
 */
export function mapSection(
  [first, ...others]: readonly EmbeddingMap[],
  pictures: readonly Point[],
  labels: readonly string[],
  total: number,
): Section {
  const present = [...new Set(pictures.map(({ label }) => label))].sort((a, b) => a - b);
  const some = pictures.length < total ? `${count(pictures.length)} of the` : 'The';
  return {
    id: 'map',
    title: 'Embedding map',
    content: html`<p>
        ${some} ${count(total)} evaluated pictures, placed by their embeddings: pictures that are close together look
        alike to the backbone. Colours are true classes. Crosses are mistakes.
        <span class="screen">Point at a picture, or tab to the map and use the arrow keys.</span>
      </p>
      ${present.length > MOST_IN_LEGEND ? undefined : legend(present, labels)}
      <div class="maps">
        <div>
          ${first && draw(first, pictures, labels)}
          ${others.map((map) => details(`Show ${map.name}`, draw(map, pictures, labels)))}
        </div>
        <aside id="preview" aria-live="polite">
          <p>The picture that you point at appears here.</p>
        </aside>
      </div>`,
  };
}

/** A button for each class. It dims all others. */
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

function draw({ name, points, explained }: EmbeddingMap, pictures: readonly Point[], labels: readonly string[]): Html {
  const data = points.map(([x, y], i) => {
    const { label, predicted } = pictures[i]!;
    const isWrong = label !== predicted;
    return { x, y, isWrong, colour: classColour(label, labels.length), symbol: isWrong ? 'times' : 'circle' };
  });
  return html`<div
    class="map"
    tabindex="0"
    role="group"
    aria-label="Map of the pictures by ${name}; use the arrow keys to move between pictures"
  >
    ${figure({
      id: `map-${name.toLowerCase()}`,
      description: `Map of ${pictures.length} pictures by ${name}, coloured by class.`,
      caption:
        explained === undefined
          ? `UMAP of the first ${COMPONENTS} principal components. It keeps neighbours together; distances between groups mean little.`
          : `The first two principal components, which explain ${percent(explained)} of the variance.`,
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
            fill: ({ isWrong, colour }: (typeof data)[number]) => (isWrong ? 'none' : colour),
            stroke: 'colour',
            strokeWidth: ({ isWrong }: (typeof data)[number]) => (isWrong ? 2 : 0.5),
          }),
        ],
      },
      mark: { selector: 'g[aria-label="dot"] path', attribute: 'data-point' },
    })}
  </div>`;
}

function classColour(n: number, classes: number): string {
  return classes <= PALETTE.length
    ? PALETTE[n]!
    : `hsl(${Math.round((360 * n) / classes)} 65% ${n % 2 === 0 ? 45 : 62}%)`;
}
