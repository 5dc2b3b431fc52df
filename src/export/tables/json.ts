import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ExportedRow, StoredRows } from './stored-rows.js';

/** Digits that tell any two float32 numbers apart. */
const DIGITS = 9;

/** Writes the rows as an array of objects, one a line: `path`, `label` or `labels`, `split`, `embedding`. */
export async function writeJson(file: string, rows: StoredRows): Promise<void> {
  await pipeline(Readable.from(textOf(rows)), createWriteStream(file));
}

async function* textOf({ blocks, hasLists }: StoredRows): AsyncGenerator<string> {
  let before = '[\n';
  for await (const block of blocks()) {
    for (const row of block) {
      yield before + JSON.stringify(objectOf(row, hasLists));
      before = ',\n';
    }
  }
  yield '\n]\n';
}

function objectOf({ path, label, labels, split, embedding }: ExportedRow, hasLists: boolean): object {
  return {
    path,
    ...(hasLists ? { labels } : { label }),
    split,
    embedding: Array.from(embedding, (value) => Number(value.toPrecision(DIGITS))),
  };
}
