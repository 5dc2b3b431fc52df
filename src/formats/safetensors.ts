import { LastlayerError, messageOf } from '../util/errors.js';
import { isObject } from '../util/json.js';

/** A tensor in row-major order. */
export interface TensorData {
  shape: number[];
  data: Float32Array;
}

/** What a safetensors file holds. */
interface Safetensors {
  tensors: Map<string, TensorData>;
  metadata: Record<string, string>;
}

/** Bytes. The limit of the reference implementation, which takes a longer header for an attack. */
const MAX_HEADER = 100_000_000;

/**
 * Reads the bytes of a safetensors file (huggingface/safetensors, "Format"): 8 bytes with the length of the header, a JSON
 * header of dtypes, shapes and offsets, then the values, little-endian, without holes or overlaps. All dtypes become float32.
 * @param path named in errors
 * @throws {LastlayerError} if the bytes break any of these rules
 */
export function readSafetensors(bytes: Uint8Array, path: string): Safetensors {
  const fail = (what: string): LastlayerError => new LastlayerError(`${path} is not a safetensors file: ${what}.`);
  if (bytes.length < 8) throw fail(`it has ${bytes.length} bytes, but the length of its header alone takes 8`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > MAX_HEADER) throw fail(`it claims a header of ${length} bytes`);
  if (8 + length > bytes.length) {
    throw fail(`its header takes ${length} bytes, but only ${bytes.length - 8} follow; is the file cut off?`);
  }
  const header = parseHeader(bytes.subarray(8, 8 + length), fail);
  const values = bytes.subarray(8 + length);
  const metadata = metadataOf(header.get('__metadata__'), fail);
  header.delete('__metadata__');

  const entries = [...header].map(([name, value]) => ({ name, ...entryOf(name, value, fail) }));
  checkLayout(entries, values.length, fail);
  const tensors = new Map<string, TensorData>();
  for (const { name, dtype, shape, begin, end } of entries) {
    tensors.set(name, { shape, data: toFloat32(values.subarray(begin, end), dtype) });
  }
  return { tensors, metadata };
}

type Fail = (what: string) => LastlayerError;

interface Entry {
  dtype: Dtype;
  shape: number[];
  /** Where its bytes begin and end, counted from the end of the header. */
  begin: number;
  end: number;
}

function parseHeader(bytes: Uint8Array, fail: Fail): Map<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw fail(`its header is not JSON (${messageOf(error)})`);
  }
  if (!isObject(header)) throw fail('its header is not a JSON object');
  return new Map(Object.entries(header));
}

function metadataOf(value: unknown, fail: Fail): Record<string, string> {
  if (value === undefined) return {};
  const pairs = isObject(value) ? Object.entries(value) : [];
  const texts = pairs.flatMap(([key, text]) => (typeof text === 'string' ? [[key, text] as const] : []));
  if (!isObject(value) || texts.length !== pairs.length) throw fail('its metadata are not all strings');
  return Object.fromEntries(texts);
}

function entryOf(name: string, value: unknown, fail: Fail): Entry {
  const { dtype, shape, data_offsets: offsets } = isObject(value) ? value : {};
  if (!isDtype(dtype)) {
    const found = typeof dtype === 'string' ? JSON.stringify(dtype) : typeof dtype;
    throw fail(`${name} has the unknown dtype ${found}`);
  }
  if (!isSizes(shape)) throw fail(`${name} has no valid shape`);
  const [begin, end] = isSizes(offsets) ? offsets : [];
  if (begin === undefined || end === undefined) throw fail(`${name} has no valid data_offsets`);
  const size = shape.reduce((product, n) => product * n, 1) * bytesPerElement(dtype);
  if (!Number.isSafeInteger(size) || end - begin !== size) {
    throw fail(`${name} is ${dtype} [${shape.join(', ')}], which is ${size} bytes, but it has ${end - begin}`);
  }
  return { dtype, shape, begin, end };
}

/** Every byte must belong to exactly one tensor. */
function checkLayout(entries: readonly (Entry & { name: string })[], length: number, fail: Fail): void {
  let expected = 0;
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== expected) throw fail(`the data of ${name} begin at ${begin} where ${expected} is expected`);
    expected = end;
  }
  if (expected !== length) {
    throw fail(`its tensors take ${expected} bytes, but ${length} are there; is the file cut off?`);
  }
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
}

/**
 * The bytes of a safetensors file of float32 tensors, in the order of their names. The same input gives the same bytes.
 * @param metadata written to the header
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
  // Padded with spaces, so that the values are aligned to 8 bytes, as the reference implementation does.
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

/** The element types that checkpoints use, by their names in safetensors. */
const BYTES = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, BOOL: 1 } as const;

export type Dtype = keyof typeof BYTES;

function isDtype(name: unknown): name is Dtype {
  return typeof name === 'string' && Object.hasOwn(BYTES, name);
}

export function bytesPerElement(dtype: Dtype): number {
  return BYTES[dtype];
}

/** Little-endian values of any type as float32, rounded to the nearest. */
export function toFloat32(bytes: Uint8Array, dtype: Dtype): Float32Array {
  // A copy is aligned, wherever in the file the bytes lie. (A Buffer's slice would not copy.)
  if (dtype === 'F32') return new Float32Array(new Uint8Array(bytes).buffer);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = BYTES[dtype];
  return Float32Array.from({ length: bytes.length / size }, (_, i) => readNumber(view, i * size, dtype));
}

function readNumber(view: DataView, offset: number, dtype: Dtype): number {
  switch (dtype) {
    case 'F64':
      return view.getFloat64(offset, true);
    case 'F32':
      return view.getFloat32(offset, true);
    case 'F16':
      return halfToNumber(view.getUint16(offset, true));
    case 'BF16':
      return bfloat16ToNumber(view.getUint16(offset, true));
    case 'I64':
      return Number(view.getBigInt64(offset, true));
    case 'I32':
      return view.getInt32(offset, true);
    case 'I16':
      return view.getInt16(offset, true);
    case 'I8':
      return view.getInt8(offset);
    case 'U8':
    case 'BOOL':
      return view.getUint8(offset);
  }
}

/** IEEE 754 binary16: 1 sign bit, 5 bits of exponent, 10 of fraction. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const scratch = new DataView(new ArrayBuffer(4));

/** bfloat16 is the upper half of a float32. */
function bfloat16ToNumber(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}
