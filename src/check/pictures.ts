import { chromaOf, spreadOf } from '../image/fingerprint.js';
import type { DatasetEmbeddings } from '../store/dataset-rows.js';
import { quantile } from '../util/math.js';
import type { Finding } from './finding.js';
import type { Neighbours } from './neighbours.js';

/** A standard deviation of brightness below which there is nothing to see: photographs of Imagenette, ants and bees have 7 or more. */
const EMPTY_SPREAD = 3;

/** Grey JPEGs have a chroma of 0: of 1220 Imagenette pictures, 20 have that, 2 more up to this, and 1193 above 8. */
const GREY_CHROMA = 4;

/** If more of the pictures than this are grey, that is not odd. */
const MOSTLY = 0.5;

/** The backbone sees 224 pixels a side, so a picture this small is enlarged to four times its size, and blurred. */
const TINY_SIDE = 64;

/** Pictures that are nearly of one colour or grey, by their fingerprints, or tiny. */
export function findOddPictures({ rows }: Pick<DatasetEmbeddings, 'rows'>): Finding[] {
  const findings: Finding[] = [];
  const grey: Finding[] = [];
  for (const { path, width, height, fingerprint } of rows) {
    if (Math.min(width, height) < TINY_SIDE) {
      const detail = `${width} × ${height} pixels`;
      findings.push({ issue: 'tiny', path, score: -Math.min(width, height), detail });
    }
    if (!fingerprint) continue;
    const [spread, chroma] = [spreadOf(fingerprint), chromaOf(fingerprint)];
    if (spread < EMPTY_SPREAD) {
      const detail = `brightness varies by ${spread.toFixed(1)} of 255 levels`;
      findings.push({ issue: 'empty', path, score: -spread, detail });
    } else if (chroma <= GREY_CHROMA) {
      grey.push({ issue: 'grey', path, score: -chroma, detail: 'no colour' });
    }
  }
  return grey.length > MOSTLY * rows.length ? findings : [...findings, ...grey];
}

/**
 * Tukey's inner fence (Exploratory Data Analysis, 1977). Of 10 photographs of ants and bees among 1200 of Imagenette, twice,
 * all were beyond it and among the first 20, with 19 others; of 8 drawn pictures, which resemble each other, 4 and 3 were.
 */
const FENCE = 1.5;

/** With fewer pictures, nothing can be called unusual. */
const LEAST_PICTURES = 20;

/**
 * Pictures that are unlike all others: their mean distance, 1 − plain cosine, to their k nearest neighbours exceeds the upper
 * quartile by more than 1.5 times the interquartile range (a k-nearest-neighbour outlier score as in Angiulli and Pizzuti
 * 2002, cut at Tukey's inner fence).
 */
export function findOutliers({ rows }: Pick<DatasetEmbeddings, 'rows'>, neighbours: Neighbours): Finding[] {
  const distances = rows.map((_, row) => distanceOf(row, neighbours));
  const sorted = distances.filter((distance) => distance !== undefined).sort((a, b) => a - b);
  if (sorted.length < LEAST_PICTURES) return [];
  const [lower, upper] = [quantile(sorted, 0.25), quantile(sorted, 0.75)];
  const fence = upper + FENCE * (upper - lower);
  return rows.flatMap(({ path }, row) => {
    const distance = distances[row];
    if (distance === undefined || distance <= fence) return [];
    const nearest = rows[neighbours.rows[row * neighbours.k]!]?.path;
    const detail = `distance ${distance.toFixed(2)} to its neighbours; the median is ${quantile(sorted, 0.5).toFixed(2)}`;
    return [{ issue: 'outlier', path, score: distance, detail, related: nearest }];
  });
}

/** Undefined for a row without neighbours, which is a copy of another. */
function distanceOf(row: number, { k, rows, plain }: Neighbours): number | undefined {
  let [sum, count] = [0, 0];
  for (let at = row * k; at < (row + 1) * k && rows[at]! >= 0; at++) {
    sum += 1 - plain[at]!;
    count++;
  }
  return count === 0 ? undefined : sum / count;
}
