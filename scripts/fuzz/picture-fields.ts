import { crc32 } from 'node:zlib';
import type { Field } from './mutate.js';

/** Where a picture file has its sizes, lengths and counts. Fewer are found in damaged files. */
export function pictureFields(format: string, bytes: Buffer): Field[] {
  const fields = FINDERS[format]?.(bytes) ?? [];
  return fields.filter(({ at, bytes: size }) => at >= 0 && at + size <= bytes.length);
}

const FINDERS: Record<string, (bytes: Buffer) => Field[]> = {
  jpeg: jpegFields,
  png: pngFields,
  gif: gifFields,
  tiff: tiffFields,
  webp: webpFields,
  avif: (bytes) => boxFields(bytes, 0, bytes.length),
  heic: (bytes) => boxFields(bytes, 0, bytes.length),
  bmp: bmpFields,
};

/** Every segment's length, and the frame's precision, height, width and components. */
function jpegFields(bytes: Buffer): Field[] {
  const fields: Field[] = [];
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff; at += 2 + bytes.readUInt16BE(at + 2)) {
    const marker = bytes[at + 1]!;
    fields.push(big(at + 2, 2), big(at + 1, 1), big(at + 4, 1));
    if (marker >= 0xc0 && marker <= 0xc2) {
      fields.push(big(at + 5, 2), big(at + 7, 2), big(at + 9, 1), big(at + 11, 1));
    }
    if (marker === 0xda) break;
  }
  return fields;
}

/** Every chunk's length and first numbers: of IHDR they are width, height, depth, colour type and interlacing. */
function pngFields(bytes: Buffer): Field[] {
  const fields: Field[] = [];
  for (let at = 8; at + 12 <= bytes.length; at += 12 + bytes.readUInt32BE(at)) {
    fields.push(big(at, 4), big(at + 8, 4));
    if (bytes.toString('latin1', at + 4, at + 8) !== 'IHDR') continue;
    fields.push(big(at + 8, 4), big(at + 12, 4), big(at + 16, 1), big(at + 17, 1), big(at + 20, 1));
  }
  return fields;
}

/** Corrects the checksums of a PNG: libpng stops at a wrong one. */
export function fixChecksums(bytes: Buffer): Buffer {
  for (let at = 8; at + 12 <= bytes.length;) {
    const end = at + 8 + bytes.readUInt32BE(at);
    if (end + 4 > bytes.length) break;
    bytes.writeUInt32BE(crc32(bytes.subarray(at + 4, end)), end);
    at = end + 4;
  }
  return bytes;
}

/** The screen descriptor, and whatever looks like an image descriptor. */
function gifFields(bytes: Buffer): Field[] {
  const fields = [little(6, 2), little(8, 2), big(10, 1), big(11, 1)];
  for (let at = bytes.indexOf(0x2c, 13); at >= 0 && fields.length < 100; at = bytes.indexOf(0x2c, at + 1)) {
    fields.push(little(at + 1, 2), little(at + 3, 2), little(at + 5, 2), little(at + 7, 2), big(at + 9, 1));
  }
  return fields;
}

/** Tag, type, count and value of each entry of the first directory. */
function tiffFields(bytes: Buffer): Field[] {
  const isLittle = bytes[0] === 0x49;
  const field = isLittle ? little : big;
  const directory = isLittle ? bytes.readUInt32LE(4) : bytes.readUInt32BE(4);
  if (directory + 2 > bytes.length) return [field(4, 4)];
  const count = isLittle ? bytes.readUInt16LE(directory) : bytes.readUInt16BE(directory);
  const entries = Array.from({ length: count }, (_, i) => directory + 2 + 12 * i);
  return [
    field(4, 4),
    field(directory, 2),
    field(directory + 2 + 12 * count, 4),
    ...entries.flatMap((at) => [field(at, 2), field(at + 2, 2), field(at + 4, 4), field(at + 8, 4)]),
  ];
}

/** The chunks' sizes, and the sizes of the picture in each kind of chunk. */
function webpFields(bytes: Buffer): Field[] {
  const fields = [little(4, 4)];
  for (let at = 12; at + 18 < bytes.length; at += 8 + 2 * Math.ceil(bytes.readUInt32LE(at + 4) / 2)) {
    fields.push(little(at + 4, 4), little(at + 8, 4), little(at + 12, 4), little(at + 14, 2), little(at + 16, 2));
  }
  return fields;
}

/** Where the pixels start; and of the info header its size, width, height, depth, compression, and the number of colours. */
function bmpFields(): Field[] {
  return [little(10, 4), little(14, 4), little(18, 4), little(22, 4), little(28, 2), little(30, 4), little(46, 4)];
}

const CONTAINERS = new Set(['meta', 'iprp', 'ipco', 'iinf']);

/** The sizes of the boxes, and the first numbers in them, including the size of the picture (ispe). */
function boxFields(bytes: Buffer, start: number, end: number): Field[] {
  const fields: Field[] = [];
  for (let at = start; at + 8 <= end;) {
    const size = bytes.readUInt32BE(at);
    const type = bytes.toString('latin1', at + 4, at + 8);
    fields.push(big(at, 4), big(at + 12, 4), big(at + 16, 4), big(at + 8, 2));
    const inner = { meta: 12, iinf: 14 }[type] ?? 8;
    if (CONTAINERS.has(type)) fields.push(...boxFields(bytes, at + inner, Math.min(end, at + size)));
    if (size < 8) break;
    at += size;
  }
  return fields;
}

function big(at: number, bytes: Field['bytes']): Field {
  return { at, bytes, endian: 'big' };
}

function little(at: number, bytes: Field['bytes']): Field {
  return { at, bytes, endian: 'little' };
}
