import type { Random } from '../support/random.js';
import { mutate } from './mutate.js';

const VALUES =
  '0 -1 1e308 9007199254740993 4294967296 2147483648 -0.5 null true "F32" "BF16" "I64" [] {} [0] [1,2,3] [0,1e15] ""'.split(
    ' ',
  );

/** Changes values in the header's JSON, or arbitrary bytes of the file. */
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

/** Changes a number, text, list or member. The result may not be JSON any more. */
function mutateJson(text: string, random: Random): string {
  const kinds = [/-?\d[\d.e+-]*/g, /\\?"[^"\\]*\\?"/g, /\[[^[\]{}]*\]/g, /"[^"]*":\{[^{}]*\},?/g];
  const found = [...text.matchAll(random.pick(kinds))];
  const match = found[random.whole(0, found.length - 1)];
  if (!match) return text;
  const [old] = match;
  const [other] = random.pick(found);
  const value = random.pick(VALUES);
  const deep = '['.repeat(20_000) + ']'.repeat(20_000);
  const changed = random.chance(0.02) ? deep : random.pick([value, value, other, '', old + old, `[${old}]`, `${old}0`]);
  return text.slice(0, match.index) + changed + text.slice(match.index + old.length);
}
