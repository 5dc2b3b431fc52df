import { setImmediate as nextTurn } from 'node:timers/promises';
import { kmeansGenerator } from 'ml-kmeans';
import type { HeadGraph } from '../../head/objective.js';
import type { Material } from '../learn/material.js';
import { NO_CLASS, type SuggestionColumns } from '../learn/classifier.js';
import type { Queue } from '../protocol.js';

/** Pictures that the clusters are found among; all others go to the nearest centre. */
const SAMPLE = 2000;

const MAX_ITERATIONS = 20;
const SEED = 1;

/** About how many pictures a cluster is to have: what one sees at a glance. */
const PER_CLUSTER = 40;
const [FEWEST, MOST] = [2, 40];

/** The suggestion of a cluster is that of more than this share of it. */
const AGREED = 0.7;

/** A part of the pictures, the most typical first. */
export interface Cluster {
  pictures: Int32Array;
}

/**
 * Clusters of pictures by k-means (ml-kmeans, with the seeds of k-means++) on their directions: so that pictures of one kind are
 * together. Those of many pictures are found among evenly spaced ones, to which all others are assigned.
 * @param k how many, at most
 * @returns the largest first
 * @throws the signal's reason, once it aborts
 */
export async function clustersOf(
  material: Material,
  graph: HeadGraph,
  pictures: Int32Array,
  k: number,
  signal: AbortSignal,
): Promise<Cluster[]> {
  if (pictures.length === 0) return [];
  const { width } = material;
  const step = Math.max(1, pictures.length / SAMPLE);
  const sample = Int32Array.from(
    { length: Math.min(SAMPLE, pictures.length) },
    (_, i) => pictures[Math.floor(i * step)]!,
  );
  const directions = await material.directions(sample);
  const rows = Array.from(sample, (_, i) => Array.from(directions.subarray(i * width, (i + 1) * width)));
  let centroids: number[][] = rows.slice(0, 1);
  for (const found of kmeansGenerator(rows, Math.min(k, rows.length), { seed: SEED, maxIterations: MAX_ITERATIONS })) {
    centroids = found.centroids;
    // So that it can be told to stop.
    await nextTurn();
    signal.throwIfAborted();
  }
  return (await assign(material, graph, pictures, centroids, signal)).filter((each) => each.pictures.length > 0);
}

async function assign(
  material: Material,
  graph: HeadGraph,
  pictures: Int32Array,
  centroids: readonly (readonly number[])[],
  signal: AbortSignal,
): Promise<Cluster[]> {
  // The nearest centre has the largest x · c − ‖c‖² / 2.
  const parameters = {
    W: Float32Array.from(centroids.flat()),
    b: Float32Array.from(centroids, (centre) => -centre.reduce((square, value) => square + value * value, 0) / 2),
  };
  const count = centroids.length;
  const members: { picture: number; nearness: number }[][] = centroids.map(() => []);
  const block = 2048;
  for (let start = 0; start < pictures.length; start += block) {
    signal.throwIfAborted();
    const some = pictures.subarray(start, start + block);
    const products = await graph.logits(await material.directions(some), parameters);
    some.forEach((picture, i) => {
      let best = 0;
      for (let c = 1; c < count; c++) if (products[i * count + c]! > products[i * count + best]!) best = c;
      members[best]!.push({ picture, nearness: products[i * count + best]! });
    });
  }
  return members
    .map((found) => ({
      pictures: Int32Array.from(
        found.sort((a, b) => b.nearness - a.nearness),
        ({ picture }) => picture,
      ),
    }))
    .sort((a, b) => b.pictures.length - a.pictures.length);
}

/** Clusters of what is unlabelled, each with the class that the head suggests for most of it. */
export async function clusterQueue(
  material: Material,
  graph: HeadGraph,
  suggestions: SuggestionColumns | undefined,
  signal: AbortSignal,
): Promise<Omit<Queue, 'name' | 'version'>> {
  const pictures = material.unlabelled();
  const k = Math.min(MOST, Math.max(FEWEST, Math.round(pictures.length / PER_CLUSTER)));
  const clusters = await clustersOf(material, graph, pictures, k, signal);
  return {
    left: pictures.length,
    groups: clusters.map(({ pictures: members }) => ({
      title: members.length === 1 ? 'One picture by itself' : `Cluster of ${members.length}`,
      suggestion: suggestions && agreedOn(members, suggestions, material),
      pictures: [...members],
      reasons: [],
    })),
    empty: pictures.length === 0 ? nothingLeft(material) : undefined,
  };
}

/** Why there is no picture to label. */
export function nothingLeft(material: Material): string {
  return material.labelled().length > 0 ? 'Every picture is labelled.' : 'There are no pictures yet. Add some.';
}

function agreedOn(pictures: Int32Array, { best }: SuggestionColumns, { classes }: Material): string | undefined {
  const votes = new Map<number, number>();
  for (const picture of pictures) votes.set(best[picture]!, (votes.get(best[picture]!) ?? 0) + 1);
  const [winner, count] = [...votes].reduce((most, each) => (each[1] > most[1] ? each : most));
  return winner !== NO_CLASS && count > AGREED * pictures.length ? classes[winner]?.name : undefined;
}
