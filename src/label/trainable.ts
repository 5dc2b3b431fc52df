import { LEAST_PICTURES } from '../head/task.js';
import { quantity } from '../util/format.js';
import type { LabelState } from './state.js';

/**
 * Why no head can be trained on the labels, in a sentence; undefined if one can.
 * @param isReadable whether a picture can be read
 */
export function whyNotTrainable(state: LabelState, isReadable: (picture: number) => boolean): string | undefined {
  const counts = state.classes.map(() => 0);
  let all = 0;
  for (let picture = 0; picture < state.size; picture++) {
    const { labels, labelled, leftOut, split } = state.value(picture);
    if (leftOut || !labelled || !isReadable(picture) || split === 'val' || split === 'test') continue;
    all++;
    for (const n of labels) counts[n]!++;
  }
  const used = [...counts.keys()].filter((n) => counts[n]! > 0);
  const name = (n: number) => state.classes[n]!.name;
  if (!state.multilabel && used.length < 2) return 'A head needs labelled pictures of two classes.';
  if (used.length === 0) return 'A head needs pictures with labels.';
  const few = used.find((n) => counts[n]! < LEAST_PICTURES);
  if (few !== undefined) return `A head needs ${LEAST_PICTURES} pictures of ${name(few)}, which has ${counts[few]!}.`;
  const everywhere = state.multilabel ? used.find((n) => all - counts[n]! < LEAST_PICTURES) : undefined;
  if (everywhere === undefined) return undefined;
  const without = quantity(all - counts[everywhere]!, 'picture');
  return `A head needs ${LEAST_PICTURES} pictures without ${name(everywhere)}, and there ${all - counts[everywhere]! === 1 ? 'is' : 'are'} ${without}.`;
}
