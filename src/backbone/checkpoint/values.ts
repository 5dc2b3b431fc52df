import type { Dtype } from '../../formats/safetensors.js';

/** What the pickle of a state_dict can hold. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickleValue[]
  | PickleDict
  | Global
  | Opaque
  | StorageReference
  | TensorReference
  | typeof MARK;

/** What the opcode MARK pushes on the stack. */
export const MARK = Symbol('mark');

/** A dict or an OrderedDict. A Map, as no key of it means anything to JavaScript. */
export class PickleDict {
  readonly entries = new Map<PickleValue, PickleValue>();

  constructor(readonly ordered: boolean) {}
}

/** A Python global that is on the allow-list. */
export class Global {
  constructor(readonly name: string) {}
}

/**
 * Stands for a Python global that is not on the allow-list, and for all that would come of it: it is never called, and has no
 * content.
 */
export class Opaque {
  constructor(
    readonly name: string,
    /** Offset of its opcode in the file's bytes. */
    readonly at: number,
  ) {}
}

/** A block of bytes elsewhere in the file. */
export class StorageReference {
  constructor(
    readonly key: string,
    readonly dtype: Dtype,
    /** Elements, according to the pickle. */
    readonly length: number,
  ) {}
}

/** A view of a storage: element (i, j, …) is at offset + i · strides[0] + j · strides[1] + … */
export class TensorReference {
  constructor(
    readonly storage: StorageReference,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

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

/** The functions and classes that a state_dict is made with. Each returns undefined if its arguments make no sense. */
const CALLABLES = new Map<string, (args: readonly PickleValue[]) => PickleValue | undefined>([
  ['collections.OrderedDict', orderedDict],
  ['torch._utils._rebuild_tensor', rebuildTensor],
  ['torch._utils._rebuild_tensor_v2', rebuildTensor],
  ['torch._utils._rebuild_parameter', ([tensor]) => tensor],
  ['torch.Size', ([sizes]) => sizes],
]);

/** Whether a state_dict may name this global. */
export function isAllowed(name: string): boolean {
  return STORAGES.has(name) || CALLABLES.has(name);
}

/** The result of calling a global, opaque if that is; undefined if it cannot be called, or not with these arguments. */
export function call(callable: PickleValue, args: PickleValue): PickleValue | undefined {
  if (callable instanceof Opaque) return callable;
  const rebuild = callable instanceof Global ? CALLABLES.get(callable.name) : undefined;
  return Array.isArray(args) ? rebuild?.(args) : undefined;
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

function rebuildTensor([storage, offset, shape, strides]: readonly PickleValue[]): TensorReference | undefined {
  const isTensor = storage instanceof StorageReference && isSize(offset) && isSizes(shape) && isSizes(strides);
  return isTensor && shape.length === strides.length ? new TensorReference(storage, offset, shape, strides) : undefined;
}

/**
 * The storage that a persistent id stands for: ('storage', class, key, location, length) and, in the legacy format, a sixth
 * entry for a view, which is None since PyTorch 0.4 (torch/serialization.py, persistent_id). Undefined if it is not one.
 */
export function storageOf(id: PickleValue): StorageReference | undefined {
  const [kind, storageClass, key, , length, view = null] = Array.isArray(id) ? id : [];
  const dtype = storageClass instanceof Global ? STORAGES.get(storageClass.name) : undefined;
  const isStorage = kind === 'storage' && typeof key === 'string' && isSize(length) && view === null;
  return dtype && isStorage ? new StorageReference(key, dtype, length) : undefined;
}

/** torch's own limit. */
const MAX_DIMENSIONS = 64;

function isSizes(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.length <= MAX_DIMENSIONS && value.every(isSize);
}

function isSize(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
