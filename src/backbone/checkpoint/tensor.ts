import { bytesPerElement, type TensorData, toFloat32 } from '../../formats/safetensors.js';
import { LastlayerError } from '../../util/errors.js';
import { PickleDict, type PickleValue, TensorReference } from './values.js';

/** How deep a training checkpoint is searched. */
const MAX_DEPTH = 2;

/**
 * The tensors of a pickled checkpoint: the state_dict itself, or the `state_dict` or `model` of a training checkpoint.
 * Ignores everything else.
 * @throws {LastlayerError} if there is no dict
 */
export function tensorsOf(root: PickleValue, path: string, depth = 0): Map<string, TensorReference> {
  if (!(root instanceof PickleDict)) {
    throw new LastlayerError(`${path} holds no dict of tensors. Save model.state_dict() and try again.`);
  }
  const tensors = new Map<string, TensorReference>();
  for (const [name, value] of root.entries) {
    if (typeof name === 'string' && value instanceof TensorReference) tensors.set(name, value);
  }
  if (tensors.size > 0) return tensors;
  const nested = root.entries.get('state_dict') ?? root.entries.get('model');
  return nested instanceof PickleDict && depth < MAX_DEPTH ? tensorsOf(nested, path, depth + 1) : tensors;
}

/** Elements that all tensors together may span, for each byte of the storages. Some are tied, or views of one another. */
const MAX_SPAN = 4;

/**
 * Reads the values of all tensors from the bytes of their storages.
 * @param storages bytes by the storages' keys
 * @param fileBytes length of the file; several of its storages may be the same bytes
 * @throws {LastlayerError} if a storage is missing or too short, or where tensors share elements far more often than
 *   weights do, as a small file could then grow without bound
 */
export function materializeAll(
  references: ReadonlyMap<string, TensorReference>,
  storages: ReadonlyMap<string, Uint8Array>,
  path: string,
  fileBytes: number,
): Map<string, TensorData> {
  let stored = 0;
  for (const bytes of storages.values()) stored += bytes.length;
  let room = MAX_SPAN * Math.min(stored, fileBytes);
  const tensors = new Map<string, TensorData>();
  for (const [name, reference] of references) {
    const { key } = reference.storage;
    const bytes = storages.get(key);
    if (!bytes) {
      throw new LastlayerError(`${path} lacks the storage ${key} of the tensor ${name}. Is the file whole?`);
    }
    const { count, last } = extentOf(name, reference, bytes, path);
    if (count > 0) room -= last - reference.offset + 1;
    if (room < 0) {
      throw new LastlayerError(`${path} is refused: its tensors share their elements again and again.`);
    }
    tensors.set(name, materialize(reference, bytes, count, last));
  }
  return tensors;
}

/** How many elements a tensor has, and the index of the last one in its storage. */
function extentOf(
  name: string,
  { storage, offset, shape, strides }: TensorReference,
  bytes: Uint8Array,
  path: string,
): { count: number; last: number } {
  const available = Math.floor(bytes.length / bytesPerElement(storage.dtype));
  const count = shape.reduce((product, n) => product * n, 1);
  const last = offset + shape.reduce((sum, n, d) => sum + (n - 1) * strides[d]!, 0);
  if (count > 0 && !(last < available)) {
    throw new LastlayerError(
      `${path}: the tensor ${name} needs ${last + 1} elements of its storage, which holds ${available}. Is the file whole?`,
    );
  }
  if (count > available) {
    throw new LastlayerError(`${path}: the tensor ${name} has ${count} elements, its storage only ${available}.`);
  }
  return { count, last };
}

/** The values of one tensor, in row-major order. */
function materialize(
  { storage, offset, shape, strides }: TensorReference,
  bytes: Uint8Array,
  count: number,
  last: number,
): TensorData {
  if (count === 0) return { shape: [...shape], data: new Float32Array() };
  const size = bytesPerElement(storage.dtype);
  const values = toFloat32(bytes.subarray(offset * size, (last + 1) * size), storage.dtype);
  return {
    shape: [...shape],
    data: isContiguous(shape, strides) ? values : gather(values, shape, strides, count),
  };
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] !== 1 && strides[d] !== expected) return false;
    expected *= shape[d]!;
  }
  return true;
}

function gather(
  values: Float32Array,
  shape: readonly number[],
  strides: readonly number[],
  count: number,
): Float32Array {
  const gathered = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let rest = i;
    let position = 0;
    for (let d = shape.length - 1; d >= 0; d--) {
      const n = shape[d]!;
      position += (rest % n) * strides[d]!;
      rest = Math.floor(rest / n);
    }
    gathered[i] = values[position]!;
  }
  return gathered;
}
