import type { Dtype } from '../../safetensors/index.js';
import { Global, PickleDict, StorageReference, TensorReference, type PickleValue } from './values.js';

/** torch's storage classes. */
const STORAGES = new Map<string, Dtype>([
  ['torch.DoubleStorage', 'F64'],
  ['torch.FloatStorage', 'F32'],
  ['torch.HalfStorage', 'F16'],
  ['torch.BFloat16Storage', 'BF16'],
  ['torch.LongStorage', 'I64'],
  ['torch.IntStorage', 'I32'],
  ['torch.ShortStorage', 'I16'],
  ['torch.CharStorage', 'I8'],
  ['torch.ByteStorage', 'U8'],
  ['torch.BoolStorage', 'BOOL'],
]);

/** What torch takes itself. */
const MAX_DIMENSIONS = 64;

type Rebuild = (args: readonly PickleValue[]) => PickleValue | undefined;

/** The functions and classes that a state_dict is made with; each gives undefined where its arguments make no sense. */
const CALLABLES = new Map<string, Rebuild>([
  ['collections.OrderedDict', orderedDict],
  ['torch._utils._rebuild_tensor', rebuildTensor],
  ['torch._utils._rebuild_tensor_v2', rebuildTensor],
  ['torch._utils._rebuild_parameter', ([tensor]) => tensor],
  ['torch.Size', ([sizes]) => sizes],
]);

/** Whether a state_dict may name this. */
export function isAllowed(name: string): boolean {
  return STORAGES.has(name) || CALLABLES.has(name);
}

/** What calling a global gives; undefined where it cannot be called, or not with these arguments. */
export function call(callable: PickleValue, args: PickleValue): PickleValue | undefined {
  const rebuild = callable instanceof Global ? CALLABLES.get(callable.name) : undefined;
  return Array.isArray(args) ? rebuild?.(args) : undefined;
}

/**
 * What a persistent id stands for: ('storage', class, key, location, length) and, in the legacy format, a sixth entry for
 * a view, which is None since PyTorch 0.4 (torch/serialization.py, persistent_id).
 */
export function storageOf(id: PickleValue): StorageReference | undefined {
  const [kind, storageClass, key, , length, view = null] = Array.isArray(id) ? id : [];
  const dtype = storageClass instanceof Global ? STORAGES.get(storageClass.name) : undefined;
  if (kind !== 'storage' || !dtype || typeof key !== 'string' || !isSize(length) || view !== null)
    return undefined;
  return new StorageReference(key, dtype, length);
}

function orderedDict([pairs = []]: readonly PickleValue[]): PickleDict | undefined {
  const dict = new PickleDict(true);
  if (!Array.isArray(pairs)) return undefined;
  for (const pair of pairs) {
    const [key, value] = Array.isArray(pair) ? pair : [];
    if (key === undefined || value === undefined) return undefined;
    dict.entries.set(key, value);
  }
  return dict;
}

function rebuildTensor([storage, offset, shape, strides]: readonly PickleValue[]):
  TensorReference | undefined {
  const isTensor =
    storage instanceof StorageReference && isSize(offset) && isSizes(shape) && isSizes(strides);
  return isTensor && shape.length === strides.length
    ? new TensorReference(storage, offset, shape, strides)
    : undefined;
}

function isSizes(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.length <= MAX_DIMENSIONS && value.every(isSize);
}

function isSize(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
