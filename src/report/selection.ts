import type { JudgedPicture } from './judged.js';

/** Mistakes, and uncertain pictures, that are shown. */
const SHOWN = 24;

/** Pictures behind a cell of the confusion matrix; behind one of right answers, which are all alike. */
const BEHIND_MISTAKES = 12;
const BEHIND_RIGHT = 6;

/** Pictures behind cells in all, those of the fullest cells of mistakes first: 3 KB each. */
const BEHIND_CELLS = 1_200;

/** Points of a map: each has its picture. */
export const ON_MAP = 1_000;

/** The pictures that a report shows of all that were judged. */
export interface Shown {
  mistakes: JudgedPicture[];
  uncertain: JudgedPicture[];
  /** By `true,predicted` class. */
  cells: Map<string, JudgedPicture[]>;
  map: JudgedPicture[];
}

/** Chooses the pictures to show, so that the report stays small however many were judged. */
export function choosePictures(pictures: readonly JudgedPicture[]): Shown {
  const wrong = pictures.filter(({ label, predicted }) => label !== predicted);
  return {
    mistakes: wrong.toSorted((a, b) => b.probability - a.probability).slice(0, SHOWN),
    uncertain: pictures.toSorted((a, b) => a.probability - b.probability).slice(0, SHOWN),
    cells: chooseForCells(pictures),
    map: evenly(pictures, ON_MAP),
  };
}

/** Of each cell the most confident ones. */
function chooseForCells(pictures: readonly JudgedPicture[]): Map<string, JudgedPicture[]> {
  const cells = new Map<string, JudgedPicture[]>();
  for (const picture of pictures) {
    const key = `${picture.label},${picture.predicted}`;
    const found = cells.get(key);
    if (found) found.push(picture);
    else cells.set(key, [picture]);
  }
  const isRight = ([picture]: readonly JudgedPicture[]) => picture?.label === picture?.predicted;
  const inOrder = [...cells].sort(
    ([, a], [, b]) => Number(isRight(a)) - Number(isRight(b)) || b.length - a.length,
  );
  let left = BEHIND_CELLS;
  return new Map(
    inOrder.map(([key, found]) => {
      const most = Math.min(left, isRight(found) ? BEHIND_RIGHT : BEHIND_MISTAKES);
      const chosen = found.toSorted((a, b) => b.probability - a.probability).slice(0, most);
      left -= chosen.length;
      return [key, chosen];
    }),
  );
}

/** At most so many of them, spread over all. */
export function evenly<T>(items: readonly T[], most: number): T[] {
  const step = Math.max(1, items.length / most);
  return Array.from({ length: Math.min(items.length, most) }, (_, i) => items[Math.floor(i * step)]).flatMap(
    (item) => (item === undefined ? [] : [item]),
  );
}
