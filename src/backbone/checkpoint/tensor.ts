import { bytesPerElement, type TensorData, toFloat32 } from '../../formats/safetensors.js';
import { LastlayerError } from '../../util/errors.js';
import { Opaque, PickleDict, type PickleValue, TensorReference } from './values.js';

/** How deep a training checkpoint is searched. */
const MAX_DEPTH = 2;

/** Where training scripts keep the weights, in the order in which they are looked for. */
const HOLDERS = [
  ...['state_dict', 'model_state_dict', 'model', 'net', 'network', 'weights', 'params'],
  ...['state_dict_ema', 'model_ema', 'ema', 'teacher', 'student', 'backbone', 'encoder'],
];

/**
 * The tensors of a pickled checkpoint: those of a training checkpoint's `state_dict`, `model` or the like, or the dict itself.
 * Ignores everything else.
 * @param onNotice receives a line for the user where they are in a dict inside it
 * @throws {LastlayerError} if there is no dict, the tensors are in dicts of other names, or something opaque is in their place
 */
export function tensorsOf(
  root: PickleValue,
  path: string,
  onNotice?: (line: string) => void,
): Map<string, TensorReference> {
  if (root instanceof Opaque) throw refusal(root, path);
  if (!(root instanceof PickleDict)) {
    throw new LastlayerError(`${path} holds no dict of tensors. Save model.state_dict() and try again.`);
  }
  const held = heldDict(root);
  if (held) onNotice?.(`The weights of ${path} are in its ${held.keys.join(', ')}.`);
  const dict = held?.dict ?? root;
  const found = ownTensors(dict);
  if (found.size > 0) {
    const opaque = opaqueValue(dict, mayBeWeights);
    if (opaque) throw refusal(opaque, path);
    return found;
  }
  const others = [...root.entries].flatMap(([name, value]) =>
    typeof name === 'string' && value instanceof PickleDict && ownTensors(value).size > 0 ? [name] : [],
  );
  if (others.length === 0) {
    const opaque = opaqueValue(dict, () => true);
    if (opaque) throw refusal(opaque, path);
    return found;
  }
  throw new LastlayerError(
    `${path} holds no tensors itself, but dicts of tensors named ${others.slice(0, 5).join(', ')}. Save the one with the ` +
      `weights alone, in Python torch.save(torch.load(path)[${JSON.stringify(others[0])}], new_path), and pass that.`,
  );
}

/** Whether a tensor of a ResNet, or a dict of them, is looked for under this key. */
function mayBeWeights(key: PickleValue): boolean {
  return typeof key === 'string' && (key.includes('.') || HOLDERS.includes(key));
}

function opaqueValue(dict: PickleDict, isNeeded: (key: PickleValue) => boolean): Opaque | undefined {
  for (const [key, value] of dict.entries) if (value instanceof Opaque && isNeeded(key)) return value;
  return undefined;
}

function refusal({ name, at }: Opaque, path: string): LastlayerError {
  return new LastlayerError(
    `${path} is refused: at byte ${at} its pickle holds the global ${name}, which no state_dict needs, in the place of weights. ` +
      'Nothing was run. If you trust the file, load it in PyTorch and save only model.state_dict(), preferably as .safetensors.',
  );
}

/** A dict with tensors that is named as training scripts do, and the keys that lead to it; undefined if there is none. */
function heldDict(dict: PickleDict, depth = 0): { dict: PickleDict; keys: string[] } | undefined {
  for (const name of depth < MAX_DEPTH ? HOLDERS : []) {
    const value = dict.entries.get(name);
    if (!(value instanceof PickleDict)) continue;
    const held = heldDict(value, depth + 1) ?? (ownTensors(value).size > 0 ? { dict: value, keys: [] } : undefined);
    if (held) return { dict: held.dict, keys: [name, ...held.keys] };
  }
  return undefined;
}

function ownTensors(dict: PickleDict): Map<string, TensorReference> {
  const tensors = new Map<string, TensorReference>();
  for (const [name, value] of dict.entries) {
    if (typeof name === 'string' && value instanceof TensorReference) tensors.set(name, value);
  }
  return tensors;
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
