import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { UMAP } from 'umap-js';
import type { FeatureSource } from '../head/examples.js';

/** Principal components that UMAP goes by: they hold what is not noise, and it is many times as quick. */
const COMPONENTS = 50;

const SEED = 1;

/** Places of pictures in the plane. */
export interface EmbeddingMap {
  name: 'PCA' | 'UMAP';
  /** [rows][2] */
  points: [number, number][];
  /** The part of the variance that the two directions hold; of PCA alone. */
  explained?: number | undefined;
}

/**
 * Maps of some embeddings: the first two principal components (the eigenvectors of the covariance matrix), and UMAP (McInnes,
 * Healy and Melville 2018) of the first 50, which keeps neighbours together and distances not.
 * @param rows their numbers; UMAP wants 20 at least
 */
export async function mapEmbeddings(source: FeatureSource, rows: readonly number[]): Promise<EmbeddingMap[]> {
  const X = await embeddingsOf(source, rows);
  const centred = X.subRowVector(X.mean('column'));
  const covariance = centred
    .transpose()
    .mmul(centred)
    .div(Math.max(1, rows.length - 1));
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(covariance, {
    assumeSymmetric: true,
  });
  // Ascending: the last ones are the largest.
  const order = realEigenvalues
    .map((_, i) => i)
    .sort((a, b) => (realEigenvalues[b] ?? 0) - (realEigenvalues[a] ?? 0));
  const projected = centred.mmul(eigenvectorMatrix.subMatrixColumn(order.slice(0, COMPONENTS)));
  const total = realEigenvalues.reduce((sum, value) => sum + value, 0);
  const first = order.slice(0, 2).reduce((sum, i) => sum + (realEigenvalues[i] ?? 0), 0);
  const maps: EmbeddingMap[] = [
    { name: 'PCA', points: pairs(projected.to2DArray()), explained: first / (total || 1) },
  ];
  if (rows.length >= 20) {
    const umap = new UMAP({ nNeighbors: Math.min(15, rows.length - 1), random: seededRandom() });
    maps.unshift({ name: 'UMAP', points: pairs(umap.fit(projected.to2DArray())) });
  }
  return maps;
}

async function embeddingsOf(source: FeatureSource, rows: readonly number[]): Promise<Matrix> {
  const places = new Map(rows.map((row, place) => [row, place]));
  const X = Matrix.zeros(rows.length, source.width);
  for await (const block of source.blocks()) {
    block.rows.forEach((row, i) => {
      const place = places.get(row);
      if (place !== undefined)
        X.setRow(place, [...block.features.subarray(i * source.width, (i + 1) * source.width)]);
    });
  }
  return X;
}

function pairs(rows: readonly number[][]): [number, number][] {
  return rows.map(([x = 0, y = 0]) => [x, y]);
}

/** 0 … 1, the same each time. */
function seededRandom(): () => number {
  const generator = xoroshiro128plus(SEED);
  return () => uniformFloat32(generator);
}
