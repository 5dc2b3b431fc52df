import type { Random } from '../examples/random.js';
import { mutate } from './mutate.js';

const VALUES =
  '0 -1 1e308 9007199254740993 4294967296 2147483648 -0.5 null true "F32" "BF16" "I64" [] {} [0] [1,2,3] [0,1e15] ""'.split(
    ' ',
  );

/** A file of which values in the header's JSON are others, or blindly changed bytes. */
export function mutateSafetensors(file: Buffer, random: Random): Buffer {
  const length = file.readUInt32LE(0);
  if (random.chance(0.3)) return mutate(file, [{ at: 0, bytes: 8, endian: 'little' }], [file], random);
  let header = file.toString('utf8', 8, 8 + length);
  for (let n = random.whole(1, 3); n > 0; n--) header = mutateJson(header, random);
  const bytes = Buffer.from(header);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([size, bytes, file.subarray(8 + length)]);
}

/** JSON with another number, text, list or member somewhere; some of it none any more. */
function mutateJson(text: string, random: Random): string {
  const kinds = [/-?\d[\d.e+-]*/g, /\\?"[^"\\]*\\?"/g, /\[[^[\]{}]*\]/g, /"[^"]*":\{[^{}]*\},?/g] as const;
  const found = [...text.matchAll(random.pick(kinds))];
  const match = found[random.whole(0, found.length - 1)];
  if (!match) return text;
  const [old] = match;
  const other = found[random.whole(0, found.length - 1)]?.[0] ?? '';
  const value = VALUES[random.whole(0, VALUES.length - 1)] ?? '';
  const deep = '['.repeat(20_000) + ']'.repeat(20_000);
  const news = random.chance(0.02)
    ? deep
    : random.pick([value, value, other, '', old + old, `[${old}]`, `${old}0`]);
  return text.slice(0, match.index) + news + text.slice(match.index + old.length);
}
