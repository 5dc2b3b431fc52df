import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import type { Backbone } from '../backbone/index.js';
import { classificationOf, type Classification } from '../classifier/index.js';
import { LastlayerError } from '../errors.js';
import { decodeImage, type DecodedImage } from '../images/index.js';
import type { Batcher } from './batcher.js';
import type { ServedHead } from './heads.js';
import type { Limits } from './limits.js';
import type { SimilarPictures, SimilarRow } from './similar.js';
import type { Upload } from './uploads.js';

/** What is asked of pictures. */
export interface Question {
  head: ServedHead;
  /** Classes to name. */
  topK: number;
  /** Similar pictures to show. */
  similar: number;
  /** Aborts where nobody waits for the answer any more. */
  signal: AbortSignal;
}

/** What is answered for one picture. */
export type Answer = Pick<Upload, 'field' | 'filename'> &
  (Judged | { error: { code: string; message: string } });
type Judged = Classification & { similar?: SimilarRow[] };

export interface PipelineParts {
  trunk: Backbone;
  batcher: Batcher;
  limits: Limits;
  similar: SimilarPictures | undefined;
  maxPixels: number;
}

/** Takes pictures from their bytes to their answers: decoded on libuv's threads, embedded in the trunk's, judged here. */
export class Pipeline {
  private readonly decoding = pLimit(availableParallelism());

  constructor(private readonly parts: PipelineParts) {}

  /**
   * @returns the answers in the order of the pictures
   * @throws {HttpError} where the server has too much to do
   * @throws the signal's reason
   */
  async classify(uploads: readonly Upload[], question: Question): Promise<Answer[]> {
    const release = this.parts.limits.admit(uploads.length);
    try {
      return await Promise.all(uploads.map((upload) => this.answer(upload, question)));
    } finally {
      release();
    }
  }

  private async answer({ bytes, ...names }: Upload, question: Question): Promise<Answer> {
    const image = await this.decoding(() => this.decode(bytes, question.signal));
    if ('error' in image) return { ...names, error: image.error };
    return { ...names, ...(await this.judge(image, question)) };
  }

  private async decode(
    bytes: Buffer,
    signal: AbortSignal,
  ): Promise<DecodedImage | { error: { code: string; message: string } }> {
    signal.throwIfAborted();
    try {
      return await decodeImage(bytes, this.parts.trunk.transform, {
        maxPixels: this.parts.maxPixels,
        svg: false,
      });
    } catch (error) {
      if (!(error instanceof LastlayerError)) throw error;
      return {
        error: { code: 'unreadable_picture', message: `It is no readable picture: ${error.message}.` },
      };
    }
  }

  private async judge(image: DecodedImage, { head, topK, similar, signal }: Question): Promise<Judged> {
    const embedding = await this.parts.batcher.add(image, signal);
    const found = similar > 0 ? await this.parts.similar?.find(embedding, similar) : undefined;
    return { ...classificationOf(head.head, embedding, topK), ...(found && { similar: found }) };
  }
}
