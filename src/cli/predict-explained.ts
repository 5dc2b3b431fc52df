import { mkdir, writeFile } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import type { Classification, Classifier, Explained } from '../classify/classifier.js';
import type { Explanation } from '../classify/explain.js';
import { PICTURE_ENDINGS } from '../data/folder.js';
import { mapAhead } from '../util/async.js';
import { LastlayerError, messageOf, UsageError } from '../util/errors.js';
import { isFolder, readRegularFile, writeWholeFile } from '../util/files.js';
import { placeIn, putWhole } from '../util/placing.js';
import { placedText } from './placed.js';
import type { Answer } from './predict-output.js';
import { onOneLine } from './terminal.js';

/** So many pictures give the scale of the colours, unless it is named. */
const SCALED_BY = 32;

/** Pictures that are drawn at the same time. */
const DRAWN_AHEAD = 4;

/** Digits after the point of what is printed. */
const DIGITS = 5;

/** What is found in a picture, with a PNG of where, or why it cannot be read. */
type DrawnAnswer =
  | ({ image: string; error?: undefined; explanations: Explanation[]; png: Buffer } & Classification)
  | { image: string; error: string };

/** A PNG for each picture, in one file or in a folder. */
export class ExplainedOutput {
  private readonly counts = { placed: 0, present: 0 };
  private scale: number | undefined;

  private constructor(
    private readonly path: string,
    readonly isFile: boolean,
    scale: number | undefined,
  ) {
    this.scale = scale;
  }

  /**
   * @param path of a file that ends in .png, or of a folder
   * @param scale the share that gets the brightest colour; undefined for that of the first pictures
   * @throws {UsageError} if it is the name of a picture of another kind
   */
  static async at(path: string, scale: number | undefined): Promise<ExplainedOutput> {
    const ending = extname(path).toLowerCase();
    const isFile = PICTURE_ENDINGS.has(ending) && !(await isFolder(path));
    if (isFile && ending !== '.png') {
      throw new UsageError(
        `--explain writes PNG, and ${path} ends in ${ending}. Name a file that ends in .png, or a folder.`,
      );
    }
    return new ExplainedOutput(path, isFile, scale);
  }

  /** @throws {UsageError} if there are several pictures for one file */
  check(pictures: number): void {
    if (!this.isFile || pictures === 1) return;
    throw new UsageError(
      `--explain ${this.path} is one file, and there are ${pictures} pictures. Name a folder, and it gets a PNG for each.`,
    );
  }

  /** Classifies pictures, and draws why. @returns the answers in the order of the pictures */
  async *explain(
    classifier: Classifier,
    paths: Iterable<string> | AsyncIterable<string>,
    options: { topK: number; signal: AbortSignal | undefined },
  ): AsyncGenerator<DrawnAnswer> {
    const explained = this.scaled(classifier.explainMany(paths, options));
    yield* mapAhead(explained, DRAWN_AHEAD, async (answer): Promise<DrawnAnswer> => {
      if (answer.error !== undefined) return answer;
      const { pixels, explanations, ...found } = answer;
      const { drawExplained } = await import('../image/explained-picture.js');
      const png = await drawExplained({
        pixels,
        crop: classifier.backbone.transform.crop,
        title: basename(found.image),
        panels: explanations,
        scale: this.scale!,
      });
      return { ...found, explanations: explanations.map(rounded), png };
    });
  }

  /** Settles the scale before the first answer is given. */
  private async *scaled(answers: AsyncIterable<Explained<string>>): AsyncGenerator<Explained<string>> {
    let first: Explained<string>[] | undefined = [];
    const settle = async (found: readonly Explained<string>[]) => {
      if (this.scale !== undefined) return;
      const { scaleOf } = await import('../image/heat-map.js');
      this.scale = scaleOf(found.flatMap((each) => (each.error === undefined ? [each.explanations[0]!.shares] : [])));
    };
    for await (const answer of answers) {
      first?.push(answer);
      if (first && this.scale === undefined && first.length < SCALED_BY) continue;
      await settle(first ?? []);
      yield* first ?? [answer];
      first = undefined;
    }
    await settle(first ?? []);
    yield* first ?? [];
  }

  /** @returns the answer, with where the PNG is. @throws {LastlayerError} if it cannot be written */
  async place(answer: Answer, png: Buffer): Promise<Answer> {
    if ('error' in answer) return answer;
    try {
      return { ...answer, explained: await this.write(basename(answer.path, extname(answer.path)), png) };
    } catch (error) {
      throw new LastlayerError(
        `--explain ${this.path} cannot be written: ${messageOf(error)}. Name a file or folder that can be written to, on a disk ` +
          'that has room.',
      );
    }
  }

  private async write(stem: string, png: Buffer): Promise<string> {
    if (this.isFile) {
      await writeWholeFile(this.path, png);
      return this.path;
    }
    await mkdir(this.path, { recursive: true });
    const { target, placed } = await placeIn(
      this.path,
      { stem, ending: '.png' },
      (free) => putWhole(free, (temporary) => writeFile(temporary, png)),
      async (taken) => (await readRegularFile(taken)).equals(png),
    );
    this.counts[placed ? 'placed' : 'present']++;
    return target;
  }

  describe(): string {
    const counted = this.isFile ? '' : `: ${placedText(this.counts)}`;
    const scale = this.scale === undefined ? '' : ` (--explain-scale ${this.scale})`;
    return `explained in ${onOneLine(this.path)}${counted}${scale}`;
  }
}

function rounded({ label, probability, logit, shares, region }: Explanation): Explanation {
  const digits = (value: number) => Number(value.toFixed(DIGITS));
  const { left, top, width, height } = region;
  return {
    label,
    probability,
    logit: digits(logit),
    shares: shares.map((row) => row.map(digits)),
    region: { left: digits(left), top: digits(top), width: digits(width), height: digits(height) },
  };
}
