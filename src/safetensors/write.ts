import type { TensorData } from './read.js';

/**
 * The bytes of a safetensors file with float32 tensors, in the order of their names. The same input gives the same bytes.
 * @param metadata texts for the header
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const sorted = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1));
  let offset = 0;
  const entries = sorted.map(([name, { shape, data }]): [string, unknown] => {
    const begin = offset;
    offset += 4 * data.length;
    return [name, { dtype: 'F32', shape, data_offsets: [begin, offset] }];
  });
  const pairs = Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1));
  const head: [string, unknown][] = pairs.length > 0 ? [['__metadata__', Object.fromEntries(pairs)]] : [];
  const json = Buffer.from(JSON.stringify(Object.fromEntries([...head, ...entries])));
  // Spaces at the end keep the values aligned to 8 bytes, as the reference implementation does.
  const headerLength = Math.ceil(json.length / 8) * 8;

  const bytes = new Uint8Array(8 + headerLength + offset);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(headerLength), true);
  bytes.fill(0x20, 8 + json.length, 8 + headerLength);
  bytes.set(json, 8);
  let position = 8 + headerLength;
  for (const [, { data }] of sorted) {
    for (const value of data) {
      view.setFloat32(position, value, true);
      position += 4;
    }
  }
  return bytes;
}
