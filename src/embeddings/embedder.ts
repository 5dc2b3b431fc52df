import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import pLimit from 'p-limit';
import type { Backbone, TrunkPool } from '../backbone/index.js';
import { messageOf } from '../errors.js';
import { decodeImage, joinPixels, type DatasetEntry, type DecodedImage } from '../images/index.js';
import type { Picture } from './plan.js';
import { listedAs, type EmbeddingRow } from './row.js';
import type { RowStore } from './table.js';

/** File sizes remembered since the store was last asked about them: far more than there are pictures under way. */
const RECENT_SIZES = 10_000;

/** How a picture came by its row. */
export type Outcome = 'embedded' | 'reused' | 'failed';

/** A picture that waits for the trunk. */
interface Decoded {
  picture: Picture;
  sha256: string;
  image: DecodedImage;
}

/** A picture that needs no trunk. */
interface Settled {
  row: EmbeddingRow;
  outcome: Outcome;
}

/** Undefined where the same content is under way already, which then settles this picture too. */
type Prepared = Decoded | Settled | undefined;

export interface EmbedderOptions {
  backbone: Backbone;
  /** Where the backbone runs. */
  trunk: TrunkPool;
  table: RowStore;
  /** The data set's root, for the rows. */
  dataset: string;
  batchSize: number;
  /** Pictures that are read and decoded at the same time. */
  concurrency: number;
  /** Called when a picture has its row. */
  onOutcome: (outcome: Outcome) => void;
}

/**
 * Reads and decodes pictures ahead of the trunk, has the trunk run over whole batches and puts the rows into the table.
 * Pictures on hand are at most `concurrency` that are read or decoded, and two batches for each thread of the trunk: one
 * that it runs and one that it finds ready. Equal files are embedded once.
 */
export class Embedder {
  private readonly limit;
  private readonly queue: Promise<Prepared>[] = [];
  private batch: Decoded[] = [];
  /** Batches that the trunk has. */
  private readonly inTrunk = new Set<Promise<void>>();
  /** Contents that are under way, each with the further files that turned out to hold the same. */
  private readonly underWay = new Map<string, Picture[]>();
  private readonly recentSizes = new Set<number>();

  constructor(private readonly options: EmbedderOptions) {
    this.limit = pLimit(options.concurrency);
  }

  /** Takes a picture on; waits while enough are under way. */
  async add(picture: Picture, sizeKnown: boolean): Promise<void> {
    await this.enqueue(() => this.prepare(picture, sizeKnown));
  }

  /** Gives a picture, under its new label or labels, split, group, weight or data set, the embedding that its content has in the store. */
  async relabel(picture: Picture, sha256: string): Promise<void> {
    await this.enqueue(async () => {
      const known = await this.options.table.withContent(sha256);
      if (!known) return this.prepare(picture, false);
      return { row: this.copyOf(known, picture), outcome: 'reused' };
    });
  }

  /** Notes a picture that cannot even be opened. */
  async fail(entry: DatasetEntry, error: string): Promise<void> {
    await this.put({ row: this.rowOf({ entry, size: null, modified: null }, { error }), outcome: 'failed' });
  }

  /** Waits until every picture has its row. @throws the signal's reason, once it aborts */
  async finish(signal?: AbortSignal): Promise<void> {
    while (this.queue.length > 0) {
      signal?.throwIfAborted();
      await this.advance();
    }
    await this.startBatch();
    await Promise.all(this.inTrunk);
  }

  /** Begins no more pictures, and waits for those that the trunk has. */
  async stop(): Promise<void> {
    this.limit.clearQueue();
    await Promise.allSettled(this.inTrunk);
  }

  private async enqueue(prepare: () => Promise<Prepared>): Promise<void> {
    const prepared = this.limit(prepare);
    // Whoever takes it from the queue handles its failure; until then it must not count as unhandled.
    prepared.catch(() => undefined);
    this.queue.push(prepared);
    if (this.queue.length > this.options.concurrency) await this.advance();
  }

  private async advance(): Promise<void> {
    const prepared = await this.queue.shift();
    if (!prepared) return;
    if ('row' in prepared) {
      await this.settle(prepared);
    } else {
      this.batch.push(prepared);
      if (this.batch.length >= this.options.batchSize) await this.startBatch();
    }
  }

  /** Reads, hashes and decodes a picture. */
  private async prepare(picture: Picture, sizeKnown: boolean): Promise<Prepared> {
    let bytes: Buffer;
    try {
      bytes = await readFile(picture.entry.path);
    } catch (error) {
      return { row: this.rowOf(picture, { error: messageOf(error) }), outcome: 'failed' };
    }
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const equals = this.underWay.get(sha256);
    if (equals) {
      equals.push(picture);
      return undefined;
    }
    this.underWay.set(sha256, []);
    if (sizeKnown || this.recentSizes.has(picture.size)) {
      const known = await this.options.table.withContent(sha256);
      if (known) return { row: this.copyOf(known, picture), outcome: 'reused' };
    }
    this.rememberSize(picture.size);
    try {
      return { picture, sha256, image: await decodeImage(bytes, this.options.backbone.transform) };
    } catch (error) {
      return { row: this.rowOf(picture, { sha256, error: messageOf(error) }), outcome: 'failed' };
    }
  }

  /** Hands the batch to the trunk, once that has room for it. */
  private async startBatch(): Promise<void> {
    while (this.inTrunk.size >= 2 * this.options.trunk.size) await Promise.race(this.inTrunk);
    const batch = this.batch;
    this.batch = [];
    const run = this.embed(batch).then(() => void this.inTrunk.delete(run));
    // Whoever waits for the trunk handles its failure; until then it must not count as unhandled.
    run.catch(() => undefined);
    this.inTrunk.add(run);
  }

  private async embed(batch: readonly Decoded[]): Promise<void> {
    if (batch.length === 0) return;
    const { backbone, trunk } = this.options;
    const embedding = await trunk.run(joinPixels(batch.map(({ image }) => image)));
    for (const [i, { picture, sha256, image }] of batch.entries()) {
      const row = this.rowOf(picture, {
        sha256,
        width: image.width,
        height: image.height,
        embedding: embedding.slice(i * backbone.width, (i + 1) * backbone.width),
      });
      await this.settle({ row, outcome: 'embedded' });
    }
  }

  /** Puts the row of a content that was under way, and those of the other files that hold the same. */
  private async settle({ row, outcome }: Settled): Promise<void> {
    await this.put({ row, outcome });
    if (row.sha256 === null) return;
    const equals = this.underWay.get(row.sha256) ?? [];
    this.underWay.delete(row.sha256);
    for (const picture of equals) await this.put({ row: this.copyOf(row, picture), outcome: 'reused' });
  }

  private async put({ row, outcome }: Settled): Promise<void> {
    await this.options.table.put(row);
    this.options.onOutcome(row.error === null ? outcome : 'failed');
  }

  private copyOf(known: EmbeddingRow, picture: Picture): EmbeddingRow {
    const { sha256, width, height, embedding, error } = known;
    return this.rowOf(picture, { sha256, width, height, embedding, error });
  }

  private rowOf(
    { entry, size, modified }: Pick<Picture, 'entry'> & { size: number | null; modified: number | null },
    found: Partial<EmbeddingRow>,
  ): EmbeddingRow {
    return {
      path: entry.path,
      dataset: this.options.dataset,
      ...listedAs(entry),
      sha256: null,
      size,
      modified,
      view: 'center',
      width: null,
      height: null,
      embedding: null,
      model_id: this.options.backbone.id,
      transform_id: this.options.backbone.transformId,
      error: null,
      ...found,
    };
  }

  private rememberSize(size: number): void {
    this.recentSizes.add(size);
    if (this.recentSizes.size <= RECENT_SIZES) return;
    const [oldest] = this.recentSizes;
    if (oldest !== undefined) this.recentSizes.delete(oldest);
  }
}
