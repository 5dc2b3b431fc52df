import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { csvLine } from '../../images/index.js';
import type { StoredRows } from './stored-rows.js';

/** Writes paths, labels and splits as a manifest, which `embed` takes; the rows are in the order of the embeddings. */
export async function writeManifest(file: string, rows: StoredRows): Promise<void> {
  await pipeline(Readable.from(linesOf(rows)), createWriteStream(file));
}

async function* linesOf({ hasLists, blocks }: StoredRows): AsyncGenerator<string> {
  yield csvLine(['path', hasLists ? 'labels' : 'label', 'split']);
  for await (const block of blocks()) {
    for (const { path, label, labels, split } of block) {
      yield csvLine([path, hasLists ? (labels ?? []).join(';') : label, split]);
    }
  }
}
