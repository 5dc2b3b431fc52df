import { LastlayerError } from '../errors.js';
import type { DatasetEntry } from './dataset.js';

/**
 * What a row of a manifest says of its picture: one label, a list of labels that may be empty, or nothing.
 * @param label the column `label`, undefined where it is absent or empty
 * @param labels the column `labels` as it was read: a list, or text with `;` between
 * @param place named in errors
 * @throws {LastlayerError} where the row has both, or a label is no text, empty in a list, or holds a NUL
 */
export function readLabels(
  label: string | undefined,
  labels: unknown,
  place: string,
): Pick<DatasetEntry, 'label' | 'labels'> {
  if (label !== undefined) {
    // A CSV file that has both columns leaves one of them empty.
    if (labels !== undefined && labels !== null && labels !== '') {
      throw new LastlayerError(
        `${place}: there are both label, ${JSON.stringify(label)}, and labels, ${JSON.stringify(labels)}. Write label where ` +
          `a picture is of exactly one class, and labels where it shows any number of things.`,
      );
    }
    return { label: withoutNul(label, place) };
  }
  if (labels === undefined || labels === null) return {};
  return { labels: [...new Set(listOf(labels, place))].sort() };
}

function listOf(labels: unknown, place: string): string[] {
  if (typeof labels === 'string') {
    const texts = labels.split(';').map((text) => text.trim());
    return texts.filter((text) => text !== '').map((text) => withoutNul(text, place));
  }
  if (!Array.isArray(labels)) {
    throw new LastlayerError(
      `${place}: labels is ${JSON.stringify(labels)} where a list such as ["cat", "dog"] is expected.`,
    );
  }
  return labels.map((label: unknown) => {
    // Numbers serve as labels as they are written, as they do in the column label.
    if (typeof label === 'number') return String(label);
    if (typeof label === 'string' && label !== '') return withoutNul(label, place);
    throw new LastlayerError(
      `${place}: labels holds ${JSON.stringify(label)} where text is expected. A picture that shows none of the labels has ` +
        `the empty list, [].`,
    );
  });
}

function withoutNul(label: string, place: string): string {
  if (!label.includes('\0')) return label;
  throw new LastlayerError(
    `${place}: the label ${JSON.stringify(label)} holds a NUL character. Take it out of the name.`,
  );
}
