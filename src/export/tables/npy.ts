import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { StoredRows } from './stored-rows.js';

/**
 * Writes the embeddings as NumPy's format 1.0 holds an array, float32 [rows, width] in C order: magic, length of the header,
 * header padded to 64 bytes, values (numpy.org, "numpy.lib.format"). Own code, because the writers on npm want the whole
 * array in memory.
 */
export async function writeNpy(file: string, rows: StoredRows): Promise<void> {
  await pipeline(Readable.from(bytesOf(rows)), createWriteStream(file));
}

async function* bytesOf({ count, record: { width }, blocks }: StoredRows): AsyncGenerator<Uint8Array> {
  yield npyHeader(count, width);
  for await (const block of blocks()) {
    for (const { embedding } of block) {
      yield new Uint8Array(embedding.buffer, embedding.byteOffset, embedding.byteLength);
    }
  }
}

function npyHeader(rows: number, width: number): Buffer {
  const description = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${width}), }`;
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, 0, 0]);
  const length = Math.ceil((start.length + description.length + 1) / 64) * 64 - start.length;
  start.writeUInt16LE(length, start.length - 2);
  return Buffer.concat([start, Buffer.from(`${description.padEnd(length - 1)}\n`)]);
}
