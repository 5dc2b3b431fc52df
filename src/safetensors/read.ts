import { LastlayerError, messageOf } from '../errors.js';
import { bytesPerElement, isDtype, toFloat32, type Dtype } from './dtype.js';

/** A tensor in row-major order. */
export interface TensorData {
  shape: number[];
  data: Float32Array;
}

/** What a safetensors file holds. */
export interface Safetensors {
  tensors: Map<string, TensorData>;
  metadata: Record<string, string>;
}

/** As the reference implementation has it: a longer header is taken for an attack. */
const MAX_HEADER = 100_000_000;

/**
 * Reads a safetensors file's bytes (huggingface/safetensors, "Format"): 8 bytes with the header's length, a JSON header
 * of dtypes, shapes and offsets, then the values, little-endian, without holes or overlaps.
 * Numbers of all dtypes become float32.
 * @param path named in errors
 * @throws {LastlayerError} where the bytes break any of these rules
 */
export function readSafetensors(bytes: Uint8Array, path: string): Safetensors {
  const fail = (what: string): LastlayerError =>
    new LastlayerError(`${path} is no safetensors file: ${what}.`);
  if (bytes.length < 8) throw fail(`it has ${bytes.length} bytes, and 8 hold the header's length alone`);
  const length = Number(viewOf(bytes).getBigUint64(0, true));
  if (length > MAX_HEADER) throw fail(`its header would be ${length} bytes long`);
  if (8 + length > bytes.length) {
    throw fail(`its header takes ${length} bytes, but ${bytes.length - 8} are there; is the file cut off?`);
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
  /** Where its bytes begin and end, from the end of the header. */
  begin: number;
  end: number;
}

function parseHeader(bytes: Uint8Array, fail: Fail): Map<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw fail(`its header is no JSON (${messageOf(error)})`);
  }
  if (!isObject(header)) throw fail('its header is no JSON object');
  return new Map(Object.entries(header));
}

function metadataOf(value: unknown, fail: Fail): Record<string, string> {
  if (value === undefined) return {};
  const pairs = isObject(value) ? Object.entries(value) : [];
  const texts = pairs.flatMap(([key, text]) => (typeof text === 'string' ? [[key, text] as const] : []));
  if (!isObject(value) || texts.length !== pairs.length) throw fail('its metadata are not all texts');
  return Object.fromEntries(texts);
}

function entryOf(name: string, value: unknown, fail: Fail): Entry {
  const { dtype, shape, data_offsets: offsets } = isObject(value) ? value : {};
  if (!isDtype(dtype))
    throw fail(
      `${name} has the unknown dtype ${typeof dtype === 'string' ? JSON.stringify(dtype) : typeof dtype}`,
    );
  if (!isSizes(shape)) throw fail(`${name} has no valid shape`);
  const [begin, end] = isSizes(offsets) ? offsets : [];
  if (begin === undefined || end === undefined) throw fail(`${name} has no valid data_offsets`);
  const size = shape.reduce((product, n) => product * n, 1) * bytesPerElement(dtype);
  if (!Number.isSafeInteger(size) || end - begin !== size) {
    throw fail(
      `${name} is ${dtype} [${shape.join(', ')}], which is ${size} bytes, but its data have ${end - begin}`,
    );
  }
  return { dtype, shape, begin, end };
}

/** Every byte belongs to one tensor. */
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

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && (n as number) >= 0);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
