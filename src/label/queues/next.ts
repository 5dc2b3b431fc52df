import type { HeadGraph } from '../../head/objective.js';
import type { SuggestionColumns } from '../learn/classifier.js';
import type { Material } from '../learn/material.js';
import type { Queue } from '../protocol.js';
import { clustersOf, nothingLeft } from './clusters.js';

/** The most uncertain pictures, among which those are chosen that differ. */
const POOL = 2000;

/** At most so many labelled pictures are compared with; evenly spaced ones if there are more. */
const MOST_LABELLED = 4000;

/** Clusters whose centres are labelled before there is a head. */
const FIRST_CENTRES = 20;

/** How much uncertainty counts against distance, as a power. */
const UNCERTAINTY = 1;

/**
 * The pictures whose labels teach the head most, in order. With a head: greedily, the picture of the largest product of uncertainty
 * and distance to the nearest picture that is labelled or chosen already (k-center greedy of Sener and Savarese 2018, "Active
 * Learning for Convolutional Neural Networks: A Core-Set Approach", weighted by uncertainty). Without one: the pictures at the
 * centres of clusters, the largest first, then those farthest from all others.
 * @param count how many, at most
 * @throws the signal's reason, once it aborts
 */
export async function nextToLabel(
  material: Material,
  graph: HeadGraph,
  suggestions: SuggestionColumns | undefined,
  count: number,
  signal: AbortSignal,
): Promise<Int32Array> {
  const unlabelled = material.unlabelled();
  const wanted = Math.min(count, unlabelled.length);
  if (wanted === 0) return new Int32Array();
  const first = suggestions ? [] : await centres(material, graph, wanted, signal);
  const uncertaintyOf = (picture: number) => suggestions?.uncertainty[picture] ?? 1;
  const isFirst = new Set(first);
  const pool = (suggestions ? mostUncertain(unlabelled, suggestions) : evenlySpaced(unlabelled, POOL)).filter(
    (picture) => !isFirst.has(picture),
  );
  const directions = await material.directions(pool);
  const known = Int32Array.from([...evenlySpaced(material.labelled(), MOST_LABELLED), ...first]);
  const distances = await distancesTo(material, graph, directions, known);
  const weights = Float64Array.from(pool, (picture) => (uncertaintyOf(picture) + 1e-6) ** UNCERTAINTY);
  const { width } = material;
  const chosen = [...first];
  while (chosen.length < wanted && chosen.length < first.length + pool.length) {
    let best = -1;
    for (let i = 0; i < pool.length; i++) {
      if (weights[i]! > 0 && (best < 0 || weights[i]! * distances[i]! > weights[best]! * distances[best]!)) best = i;
    }
    chosen.push(pool[best]!);
    weights[best] = 0;
    const picked = directions.subarray(best * width, (best + 1) * width);
    for (let i = 0; i < pool.length; i++) {
      if (weights[i] === 0) continue;
      let product = 0;
      for (let j = 0, at = i * width; j < width; j++, at++) product += directions[at]! * picked[j]!;
      distances[i] = Math.min(distances[i]!, distanceOf(product));
    }
    signal.throwIfAborted();
  }
  return Int32Array.from(chosen);
}

/** Of two unit vectors, from their product. */
function distanceOf(product: number): number {
  return Math.sqrt(Math.max(0, 2 - 2 * product));
}

/** The picture nearest to each centre, the largest cluster first; those of clusters with labelled pictures are left out. */
async function centres(material: Material, graph: HeadGraph, count: number, signal: AbortSignal): Promise<number[]> {
  const usable = material.where((picture) => material.isUsable(picture));
  const clusters = await clustersOf(material, graph, usable, Math.min(count, FIRST_CENTRES), signal);
  return clusters
    .filter(({ pictures }) => !pictures.some((picture) => material.value(picture).labelled))
    .map(({ pictures: [nearest] }) => nearest!);
}

function mostUncertain(pictures: Int32Array, { uncertainty }: SuggestionColumns): Int32Array {
  // Of a picture that was added since, nothing is known.
  const of = (picture: number) => uncertainty[picture] ?? 1;
  return pictures
    .slice()
    .sort((a, b) => of(b) - of(a) || a - b)
    .slice(0, POOL);
}

function evenlySpaced(pictures: Int32Array, most: number): Int32Array {
  if (pictures.length <= most) return pictures;
  return Int32Array.from({ length: most }, (_, i) => pictures[Math.floor((i * pictures.length) / most)]!);
}

/** The distance of each direction to the nearest of some pictures; 1 each if there are none. */
async function distancesTo(
  material: Material,
  graph: HeadGraph,
  directions: Float32Array,
  pictures: Int32Array,
): Promise<Float64Array> {
  const rows = directions.length / material.width;
  const distances = new Float64Array(rows).fill(pictures.length === 0 ? 1 : Infinity);
  const block = 1024;
  for (let start = 0; start < pictures.length; start += block) {
    const some = pictures.subarray(start, start + block);
    const others = { W: await material.directions(some), b: new Float32Array(some.length) };
    const products = await graph.logits(directions, others);
    for (let i = 0; i < rows; i++) {
      for (let n = 0; n < some.length; n++) {
        distances[i] = Math.min(distances[i]!, distanceOf(products[i * some.length + n]!));
      }
    }
  }
  return distances;
}

/** One group of pictures, the most useful first. */
export async function nextQueue(
  material: Material,
  graph: HeadGraph,
  suggestions: SuggestionColumns | undefined,
  count: number,
  signal: AbortSignal,
): Promise<Omit<Queue, 'name' | 'version'>> {
  const pictures = await nextToLabel(material, graph, suggestions, count, signal);
  const left = material.unlabelled().length;
  const title = suggestions ? 'Uncertain, and unlike what is labelled' : 'Typical of what there is';
  return {
    left,
    groups: left === 0 ? [] : [{ title, suggestion: undefined, pictures: [...pictures], reasons: [] }],
    empty: left === 0 ? nothingLeft(material) : undefined,
  };
}
