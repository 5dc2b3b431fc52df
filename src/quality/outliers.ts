import type { Finding } from './finding.js';
import type { Neighbours } from './neighbours.js';
import type { Pictures } from './pictures.js';

/**
 * Tukey's inner fence, Exploratory Data Analysis, 1977. Of 10 photographs of ants and bees among 1200 of Imagenette, twice,
 * all were beyond it and among the first 20, with 19 others; of 8 drawn pictures, which are like each other, 4 and 3 were.
 */
const FENCE = 1.5;

/** With fewer pictures nothing is usual, so nothing unusual. */
const LEAST_PICTURES = 20;

/**
 * Pictures that are unlike all others: those whose mean distance, 1 − plain cosine, to their k nearest neighbours is above the
 * upper quartile by 1.5 times the interquartile range (a k-nearest-neighbour outlier score as of Angiulli and Pizzuti 2002, cut
 * at Tukey's inner fence).
 */
export function findOutliers({ rows }: Pictures, neighbours: Neighbours): Finding[] {
  const distances = rows.map((_, row) => distanceOf(row, neighbours));
  const sorted = distances.filter((distance) => distance !== undefined).sort((a, b) => a - b);
  if (sorted.length < LEAST_PICTURES) return [];
  const [lower, upper] = [quantile(sorted, 0.25), quantile(sorted, 0.75)];
  const fence = upper + FENCE * (upper - lower);
  return rows.flatMap(({ path }, row) => {
    const distance = distances[row];
    if (distance === undefined || distance <= fence) return [];
    const nearest = rows[neighbours.rows[row * neighbours.k] ?? -1]?.path;
    const detail = `distance ${distance.toFixed(2)} to its nearest, where ${quantile(sorted, 0.5).toFixed(2)} is usual`;
    return [{ issue: 'outlier', path, score: distance, detail, ...(nearest && { related: nearest }) }];
  });
}

/** Undefined for a row without neighbours: a copy of another. */
function distanceOf(row: number, { k, rows, plain }: Neighbours): number | undefined {
  let [sum, count] = [0, 0];
  for (let at = row * k; at < (row + 1) * k && (rows[at] ?? -1) >= 0; at++) {
    sum += 1 - (plain[at] ?? 0);
    count++;
  }
  return count === 0 ? undefined : sum / count;
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.round(q * (sorted.length - 1))] ?? NaN;
}
