import { percent } from '../../util/format.js';
import { grouped } from '../../util/grouped.js';
import { NO_CLASS, type SuggestionColumns } from '../learn/classifier.js';
import type { Material } from '../learn/material.js';
import type { AcceptPreview, Queue } from '../protocol.js';

/** Pictures to look at before all are accepted. */
const SAMPLE = 24;

/** The unlabelled pictures whose suggestion is at least this certain, the most certain first. @param label only of this class */
function acceptable(
  material: Material,
  { best, probability }: SuggestionColumns,
  { above, label }: { above: number; label?: string | undefined },
): Int32Array {
  const isWanted = (picture: number) => {
    // Nothing is suggested for pictures that were added since, and a class may have been removed.
    const suggested = material.classes[best[picture] ?? NO_CLASS];
    if (!suggested || suggested.removed || probability[picture]! < above) return false;
    return label === undefined || suggested.name === label;
  };
  const found = material.unlabelled().filter(isWanted);
  return found.sort((a, b) => probability[b]! - probability[a]! || a - b);
}

/** What accepting them would do. The error to be expected is the mean of 1 − p, as p is calibrated. */
export function acceptPreview(
  material: Material,
  suggestions: SuggestionColumns,
  options: { above: number; label?: string | undefined },
): Omit<AcceptPreview, 'version'> {
  const pictures = acceptable(material, suggestions, options);
  const doubt = pictures.reduce((sum, picture) => sum + 1 - suggestions.probability[picture]!, 0);
  return {
    above: options.above,
    count: pictures.length,
    expectedError: pictures.length === 0 ? 0 : doubt / pictures.length,
    sample: drawn(pictures, SAMPLE),
    groups: byLabel(material, suggestions, pictures).map(({ label, members }) => ({ label, pictures: members })),
  };
}

/** A group for each class, the most certain pictures first. @param count of pictures, at most */
export function acceptQueue(
  material: Material,
  suggestions: SuggestionColumns | undefined,
  { count, ...options }: { above: number; label?: string | undefined; count: number },
): Omit<Queue, 'name' | 'version'> {
  if (!suggestions) {
    return { left: 0, groups: [], empty: 'There are no suggestions yet: label two pictures of two classes first.' };
  }
  const pictures = acceptable(material, suggestions, options);
  return {
    left: pictures.length,
    groups: byLabel(material, suggestions, pictures.subarray(0, count)).map(({ label, members }) => ({
      title: `Probably ${label}`,
      suggestion: label,
      pictures: members,
      reasons: members.map((picture) => percent(suggestions.probability[picture])),
    })),
    empty: pictures.length === 0 ? `No suggestion is at least ${percent(options.above, 0)} certain.` : undefined,
  };
}

function byLabel(
  { classes }: Material,
  { best }: SuggestionColumns,
  pictures: Int32Array,
): { label: string; members: number[] }[] {
  return [...grouped(pictures, (picture) => best[picture]!)]
    .sort(([a], [b]) => a - b)
    .map(([n, members]) => ({ label: classes[n]!.name, members }));
}

/** Some of the pictures, drawn at random without putting back. */
function drawn(pictures: Int32Array, count: number): number[] {
  const left = [...pictures];
  const found: number[] = [];
  while (found.length < count && left.length > 0) {
    const at = Math.floor(Math.random() * left.length);
    found.push(left[at]!);
    left[at] = left.at(-1)!;
    left.pop();
  }
  return found;
}
