import { isAbsolute, relative, sep } from 'node:path';
import pLimit from 'p-limit';
import { thumbnailOf } from '../image/thumbnail.js';
import { abortable } from '../util/async.js';
import { nameOf } from '../util/file-names.js';
import { grouped } from '../util/grouped.js';
import type { EvaluatedPicture, ReportEvaluation } from './evaluate.js';

/** Top losses of a softmax head, and the least certain and least typical pictures. */
const SHOWN = 24;

/** Top losses of a multilabel head: the labels with the most mistakes, and pictures of each kind of mistake. */
const LABELS = 12;
const PER_LABEL = 6;

/** Pictures behind a cell of the confusion matrix. Those on the diagonal are all alike. */
const PER_WRONG_CELL = 12;
const PER_RIGHT_CELL = 6;

/** Pictures behind all cells together; cells with many mistakes come first. */
const IN_CELLS = 1_000;

/** Points of a map: each has its picture. */
const ON_MAP = 1_000;

/** The pictures that a report shows, which are few enough to keep it small. */
export interface ShownPictures {
  /** The most confident mistakes: one group or, for a multilabel head, a group for each label. */
  topLosses: LossGroup[];
  leastCertain: EvaluatedPicture[];
  /** None if the head does not tell how typical pictures are. */
  leastTypical: EvaluatedPicture[];
  /** Pictures behind each cell of the confusion matrix, by `true,predicted`, the most confident first. */
  cells: Map<string, EvaluatedPicture[]>;
  map: EvaluatedPicture[];
}

export interface LossGroup {
  /** Index of the label; undefined for a softmax head. */
  label: number | undefined;
  /** All mistakes, of which some are shown. */
  mistakes: number;
  /** The most confident first. */
  pictures: EvaluatedPicture[];
}

/** Chooses the pictures to show. @param count of the head's labels */
export function choosePictures({ kind, pictures }: ReportEvaluation, count: number): ShownPictures {
  const step = Math.max(1, pictures.length / ON_MAP);
  const onMap = Math.min(pictures.length, ON_MAP);
  return {
    topLosses: kind === 'softmax' ? topLosses(pictures) : topLossesByLabel(pictures, count),
    leastCertain: pictures.toSorted((a, b) => a.certainty - b.certainty).slice(0, SHOWN),
    leastTypical: leastTypical(pictures),
    cells: kind === 'softmax' ? chooseForCells(pictures) : new Map<string, EvaluatedPicture[]>(),
    map: Array.from({ length: onMap }, (_, i) => pictures[Math.floor(i * step)]!),
  };
}

function leastTypical(pictures: readonly EvaluatedPicture[]): EvaluatedPicture[] {
  const rated = pictures.flatMap((picture) =>
    picture.typicality === null ? [] : [{ ...picture, by: picture.typicality }],
  );
  return rated.sort((a, b) => a.by - b.by).slice(0, SHOWN);
}

export function isRight({ labels, predicted }: EvaluatedPicture): boolean {
  return labels.join() === predicted.join();
}

function topLosses(pictures: readonly EvaluatedPicture[]): LossGroup[] {
  const wrong = pictures.filter((picture) => !isRight(picture));
  if (wrong.length === 0) return [];
  return [{ label: undefined, mistakes: wrong.length, pictures: mostConfident(wrong, SHOWN) }];
}

/** For each label, the pictures that lack it in the prediction, and those that have it there wrongly. */
function topLossesByLabel(pictures: readonly EvaluatedPicture[], count: number): LossGroup[] {
  const groups = Array.from({ length: count }, (_, label): LossGroup => {
    const p = ({ probabilities }: EvaluatedPicture) => probabilities.get(label)!;
    const missed: EvaluatedPicture[] = [];
    const wrong: EvaluatedPicture[] = [];
    for (const picture of pictures) {
      const [isTrue, isPredicted] = [picture.labels.includes(label), picture.predicted.includes(label)];
      if (isTrue && !isPredicted) missed.push(picture);
      if (!isTrue && isPredicted) wrong.push(picture);
    }
    missed.sort((a, b) => p(a) - p(b));
    wrong.sort((a, b) => p(b) - p(a));
    return {
      label,
      mistakes: missed.length + wrong.length,
      pictures: [...missed.slice(0, PER_LABEL), ...wrong.slice(0, PER_LABEL)],
    };
  });
  return groups
    .filter(({ mistakes }) => mistakes > 0)
    .sort((a, b) => b.mistakes - a.mistakes)
    .slice(0, LABELS);
}

function chooseForCells(pictures: readonly EvaluatedPicture[]): Map<string, EvaluatedPicture[]> {
  const cells = grouped(pictures, ({ labels, predicted }) => `${labels.join()},${predicted.join()}`);
  const onDiagonal = (found: readonly EvaluatedPicture[]) => isRight(found[0]!);
  const inOrder = [...cells].sort(
    ([, a], [, b]) => Number(onDiagonal(a)) - Number(onDiagonal(b)) || b.length - a.length,
  );
  let left = IN_CELLS;
  return new Map(
    inOrder.map(([key, found]) => {
      const most = Math.min(left, onDiagonal(found) ? PER_RIGHT_CELL : PER_WRONG_CELL);
      const chosen = mostConfident(found, most);
      left -= chosen.length;
      return [key, chosen];
    }),
  );
}

function mostConfident(pictures: readonly EvaluatedPicture[], most: number): EvaluatedPicture[] {
  return pictures.toSorted((a, b) => b.certainty - a.certainty).slice(0, most);
}

/** The paths of all pictures to show, some of them several times: those in galleries, and those in dialogs and on the map. */
export function pathsOf({
  topLosses,
  leastCertain,
  leastTypical,
  cells,
  map,
}: ShownPictures): Record<'inGalleries' | 'others', string[]> {
  const paths = (pictures: readonly EvaluatedPicture[]) => pictures.map(({ path }) => path);
  return {
    inGalleries: paths([...topLosses.flatMap(({ pictures }) => pictures), ...leastCertain, ...leastTypical]),
    others: paths([...[...cells.values()].flat(), ...map]),
  };
}

/** The longer side of thumbnails, in pixels: of those in galleries, which can be enlarged, and of the many others. */
const GALLERY_SIDE = 320;
const SMALL_SIDE = 160;
const QUALITY = 55;
const CONCURRENCY = 8;

/** What the report tells of the files of its pictures. */
export class PictureFiles {
  /**
   * @param thumbnails data URIs by path; a picture that is gone or unreadable, or lies in an archive, has none
   * @param dataset absolute path of the data set
   * @param folder that the report will lie in; undefined for no links
   */
  constructor(
    private readonly thumbnails: ReadonlyMap<string, string>,
    private readonly dataset: string,
    private readonly folder: string | undefined,
  ) {}

  get count(): number {
    return this.thumbnails.size;
  }

  thumbnailOf(path: string): string | undefined {
    return this.thumbnails.get(path);
  }

  nameOf(path: string): string {
    return nameOf(this.dataset, path);
  }

  /** The address of a picture's file, relative to the report; undefined if it has none. */
  hrefOf(path: string): string | undefined {
    if (this.folder === undefined || !this.thumbnails.has(path)) return undefined;
    const from = relative(this.folder, path);
    // On another drive.
    return isAbsolute(from) ? undefined : from.split(sep).map(encodeURIComponent).join('/');
  }
}

/**
 * Makes the thumbnails, as data URIs by path.
 * @param paths of pictures in galleries, which get larger ones, and of others
 * @throws the signal's reason, once it aborts
 */
export async function makeThumbnails(
  paths: { inGalleries: readonly string[]; others: readonly string[] },
  signal: AbortSignal | undefined,
  onProgress: (done: number, total: number) => void,
): Promise<ReadonlyMap<string, string>> {
  const thumbnails = new Map<string, string>();
  const large = new Set(paths.inGalleries);
  const wanted = [...new Set([...large, ...paths.others])];
  const limit = pLimit(CONCURRENCY);
  let done = 0;
  const made = wanted.map((path) =>
    limit(async () => {
      signal?.throwIfAborted();
      const side = large.has(path) ? GALLERY_SIDE : SMALL_SIDE;
      const webp = await thumbnailOf(path, side, QUALITY).catch(() => undefined);
      if (webp) thumbnails.set(path, `data:image/webp;base64,${webp.toString('base64')}`);
      onProgress(++done, wanted.length);
    }),
  );
  await abortable(Promise.all(made), signal);
  return thumbnails;
}
