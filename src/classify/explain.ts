import type { FeatureMap } from '../backbone/backbone.js';
import type { Head } from '../head/head.js';
import type { Region } from '../image/transform.js';
import { placeOf, type View } from '../image/views.js';
import { LastlayerError, UsageError } from '../util/errors.js';

/**
 * Where in a picture a class was seen: the class activation map (Zhou et al. 2016, "Learning Deep Features for Discriminative
 * Localization"). The embedding x is the mean of the features F(p) over the positions p of the map, and the head is linear, so the
 * logit is a mean, too: wᵀx + b = mean (wᵀF(p) + b). A position's share, wᵀF(p) + b, is the logit of a picture that looks like this
 * position everywhere. Each bears the same part of the bias.
 */
export interface Explanation {
  label: string;
  /** As `predict` gives it: softmax or, of a multilabel head, σ of logit / temperature; 0 … 1. */
  probability: number;
  /** Before the temperature. */
  logit: number;
  /** [rows][columns], 7 × 7 for a ResNet and pictures of 224 × 224 pixels, from the top left. Their mean is the logit. */
  shares: number[][];
  /** The part of the upright picture that the map covers, in equal cells: the center crop. */
  region: Region;
}

/** A picture as the backbone sees it. */
export interface MappedPicture {
  /** The mean of those of its views, [width]. */
  embedding: Float32Array;
  /** See {@link meanMap}; [1, width, rows, columns] */
  map: FeatureMap;
  region: Region;
}

/** @throws {UsageError} if views show other parts of the picture, whose maps do not lie on each other */
export function checkExplicable(views: readonly View[]): void {
  if (views.every((view) => placeOf(view).place === 'center')) return;
  throw new UsageError(
    'Where a class is seen cannot be shown with the views crops, which average over five parts of the picture. Use flip, or no views.',
  );
}

/** The mean of the maps of some views, as the picture lies: those of mirrored views are mirrored back. */
export function meanMap(maps: readonly FeatureMap[], views: readonly View[]): FeatureMap {
  const [first] = maps;
  if (!first) throw new LastlayerError('There is no map to take the mean of.');
  const { rows, columns } = first;
  const values = first.values.map((_, at) => {
    const column = at % columns;
    const mirrored = at - column + (columns - 1 - column);
    const total = maps.reduce((sum, map, v) => sum + map.values[placeOf(views[v]!).mirrored ? mirrored : at]!, 0);
    return total / maps.length;
  });
  return { values, rows, columns };
}

/**
 * Explains the logits of some classes.
 * @param labels of the classes
 * @throws {UsageError} if the head does not know a label
 */
export function explain(
  head: Head,
  { embedding, map, region }: MappedPicture,
  labels: readonly string[],
): Explanation[] {
  const logits = head.logits(embedding).getRow(0);
  const probabilities = head.predictProba(embedding).getRow(0);
  const ofPositions = head.logits(featuresOfPositions(map));
  return labels.map((label) => {
    const n = head.indexOf(label);
    if (n === undefined) {
      throw new UsageError(
        `The head has no label ${JSON.stringify(label)}. It has ${head.labels.slice(0, 10).join(', ')}${head.labels.length > 10 ? ', …' : ''}.`,
      );
    }
    const shares = Array.from({ length: map.rows }, (_, y) =>
      Array.from({ length: map.columns }, (_, x) => ofPositions.get(y * map.columns + x, n)),
    );
    return { label, probability: probabilities[n]!, logit: logits[n]!, shares, region };
  });
}

/** The labels of the most probable classes, best first. @param count how many at most */
export function leadingLabels(head: Head, embedding: Float32Array, count: number): string[] {
  return head.predict(embedding, count)[0]!.map(({ label }) => label);
}

/** [1, width, rows, columns] as [rows · columns, width]. */
export function featuresOfPositions({ values, rows, columns }: FeatureMap): Float32Array {
  const positions = rows * columns;
  const width = values.length / positions;
  return Float32Array.from(values, (_, at) => values[(at % width) * positions + Math.floor(at / width)]!);
}
