import type { Random } from '../support/random.js';

/** A number at a known offset of a file. */
export interface Field {
  at: number;
  bytes: 1 | 2 | 4 | 8;
  endian: 'little' | 'big';
}

type Change = (bytes: Buffer, random: Random, others: readonly Buffer[]) => Buffer;

/** Flips one bit, or up to eight. */
const flipBits: Change = (bytes, random) => {
  for (let n = random.whole(1, 8); n > 0; n--) {
    const at = place(bytes, random);
    bytes[at]! ^= 1 << random.whole(0, 7);
  }
  return bytes;
};

/** Overwrites a run with one byte, or with noise. */
const fillRun: Change = (bytes, random) => {
  const [start, end] = run(bytes, random, 64);
  const value = random.pick([0, 0xff, 0x7f, 0x80, -1]);
  for (let at = start; at < end; at++) bytes[at] = value < 0 ? random.whole(0, 255) : value;
  return bytes;
};

const truncate: Change = (bytes, random) => Buffer.from(bytes.subarray(0, place(bytes, random)));

/** Removes a block. */
const cutOut: Change = (bytes, random) => {
  const [start, end] = run(bytes, random, 1024);
  return Buffer.concat([bytes.subarray(0, start), bytes.subarray(end)]);
};

/** Inserts copies of a block elsewhere. */
const repeatBlock: Change = (bytes, random) => {
  const [start, end] = run(bytes, random, 1024);
  const at = place(bytes, random);
  const block = Array.from({ length: random.whole(1, 4) }, () => bytes.subarray(start, end));
  return Buffer.concat([bytes.subarray(0, at), ...block, bytes.subarray(at)]);
};

/** Swaps two blocks of equal length. */
const swapBlocks: Change = (bytes, random) => {
  const [start, end] = run(bytes, random, 256);
  const other = random.whole(0, Math.max(0, bytes.length - (end - start)));
  const block = Buffer.from(bytes.subarray(start, end));
  bytes.copy(bytes, start, other, other + block.length);
  block.copy(bytes, other);
  return bytes;
};

/** Joins the beginning of one file and the end of another. */
const splice: Change = (bytes, random, others) => {
  const other = random.pick(others);
  return Buffer.concat([bytes.subarray(0, place(bytes, random)), other.subarray(place(other, random))]);
};

const CHANGES = [flipBits, fillRun, truncate, cutOut, repeatBlock, swapBlocks, splice];

/**
 * A changed copy of a file: half of the time, numbers at known offsets get extreme values. Otherwise, and sometimes as well,
 * arbitrary bytes change.
 * @param others files to splice it with
 */
export function mutate(original: Buffer, fields: readonly Field[], others: readonly Buffer[], random: Random): Buffer {
  const bytes = Buffer.from(original);
  const setsFields = fields.length > 0 && random.chance(0.5);
  if (setsFields) {
    for (let n = random.whole(1, 3); n > 0; n--) {
      setField(bytes, random.pick(fields), random);
    }
    if (random.chance(0.7)) return bytes;
  }
  return random.pick(CHANGES)(bytes, random, others);
}

/** Sets a number to an extreme value, or to one near its old value. */
function setField(bytes: Buffer, { at, bytes: size, endian }: Field, random: Random): void {
  if (at + size > bytes.length) return;
  const digits = Buffer.from(bytes.subarray(at, at + size));
  if (endian === 'little') digits.reverse();
  const before = BigInt(`0x${digits.toString('hex')}`);
  const bits = BigInt(8 * size);
  const extremes = [
    0n,
    1n,
    2n,
    before - 1n,
    before + 1n,
    2n * before,
    before * before,
    (1n << bits) - 1n,
    1n << (bits - 1n),
    (1n << (bits - 1n)) - 1n,
    65_535n,
    16_383n,
    BigInt(random.whole(0, 2 ** 24)),
  ];
  const value = BigInt.asUintN(8 * size, random.pick(extremes));
  const changed = Buffer.from(value.toString(16).padStart(2 * size, '0'), 'hex');
  if (endian === 'little') changed.reverse();
  changed.copy(bytes, at);
}

/** A random offset, often one near the beginning, where headers are. */
function place(bytes: Buffer, random: Random): number {
  const end = random.chance(0.4) ? Math.min(bytes.length, 256) : bytes.length;
  return random.whole(0, Math.max(0, end - 1));
}

function run(bytes: Buffer, random: Random, longest: number): [start: number, end: number] {
  const start = place(bytes, random);
  return [start, Math.min(bytes.length, start + random.whole(1, longest))];
}
