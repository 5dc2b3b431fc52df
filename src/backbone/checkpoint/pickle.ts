import type { Dtype } from '../../formats/safetensors.js';
import { LastlayerError } from '../../util/errors.js';
import { Global, MARK, PickleDict, type PickleValue, StorageReference, TensorReference } from './read.js';

/**
 * Reads one pickle: the few opcodes and globals that a state_dict needs, and nothing else. Nothing is ever looked up in
 * JavaScript or run: a global is a name on a list, and calling one of them builds one of the values of values.ts.
 * Opcodes as in Python's pickletools.
 * @param start where in the bytes the pickle begins
 * @param path named in errors
 * @throws {LastlayerError} where the bytes are cut off, or ask for anything else; the message names it and where
 */
export function readPickle(bytes: Buffer, start: number, path: string): Unpickled {
  return new PickleReader(bytes, start, path).read();
}

interface Unpickled {
  value: PickleValue;
  /** Where the next byte is. */
  end: number;
  /** The storages that were named, by key. */
  storages: Map<string, StorageReference>;
}

class PickleReader {
  private readonly stack: PickleValue[] = [];
  private readonly memo = new Map<number, PickleValue>();
  private readonly storages = new Map<string, StorageReference>();
  /** Items of lists that calls made dicts of. */
  private copied = 0;
  /** Where the opcode in hand begins. */
  private opcodeAt: number;

  constructor(
    private readonly bytes: Buffer,
    private position: number,
    private readonly path: string,
  ) {
    this.opcodeAt = position;
  }

  read(): Unpickled {
    for (;;) {
      this.opcodeAt = this.position;
      const opcode = this.byte();
      if (opcode === 0x2e /* STOP */) {
        return { value: this.pop(), end: this.position, storages: this.storages };
      }
      this.execute(opcode);
    }
  }

  private execute(opcode: number): void {
    switch (opcode) {
      case 0x80: // PROTO
        this.skip(1);
        return;
      case 0x95: // FRAME
        this.skip(8);
        return;
      case 0x28: // MARK
        this.push(MARK);
        return;
      case 0x4e: // NONE
        this.push(null);
        return;
      case 0x88: // NEWTRUE
        this.push(true);
        return;
      case 0x89: // NEWFALSE
        this.push(false);
        return;
      case 0x4b: // BININT1
        this.push(this.byte());
        return;
      case 0x4d: // BININT2
        this.push(this.take(2).readUInt16LE());
        return;
      case 0x4a: // BININT
        this.push(this.take(4).readInt32LE());
        return;
      case 0x8a: // LONG1
        this.push(this.long(this.byte()));
        return;
      case 0x47: // BINFLOAT
        this.push(this.take(8).readDoubleBE());
        return;
      case 0x55: // SHORT_BINSTRING
        this.push(this.take(this.byte()).toString('latin1'));
        return;
      case 0x8c: // SHORT_BINUNICODE
        this.push(this.take(this.byte()).toString());
        return;
      case 0x58: // BINUNICODE
        this.push(this.take(this.take(4).readUInt32LE()).toString());
        return;
      case 0x29: // EMPTY_TUPLE
      case 0x5d: // EMPTY_LIST
        this.push([]);
        return;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        this.push(this.popMany(opcode - 0x84));
        return;
      case 0x74: // TUPLE
        this.push(this.popToMark());
        return;
      case 0x61: // APPEND
        this.append([this.pop()]);
        return;
      case 0x65: // APPENDS
        this.append(this.popToMark());
        return;
      case 0x7d: // EMPTY_DICT
        this.push(new PickleDict(false));
        return;
      case 0x73: // SETITEM
        this.setItems(this.popMany(2));
        return;
      case 0x75: // SETITEMS
        this.setItems(this.popToMark());
        return;
      case 0x71: // BINPUT
        this.memo.set(this.byte(), this.top());
        return;
      case 0x72: // LONG_BINPUT
        this.memo.set(this.take(4).readUInt32LE(), this.top());
        return;
      case 0x94: // MEMOIZE
        this.memo.set(this.memo.size, this.top());
        return;
      case 0x68: // BINGET
        this.recall(this.byte());
        return;
      case 0x6a: // LONG_BINGET
        this.recall(this.take(4).readUInt32LE());
        return;
      case 0x63: // GLOBAL
        this.pushGlobal(this.line(), this.line());
        return;
      case 0x93: // STACK_GLOBAL
        this.stackGlobal();
        return;
      case 0x52: // REDUCE
        this.reduce();
        return;
      case 0x62: // BUILD
        this.build();
        return;
      case 0x51: // BINPERSID
        this.persistentId();
        return;
      default:
        throw this.refusal(`the opcode 0x${opcode.toString(16).padStart(2, '0')}, which no state_dict needs`);
    }
  }

  private append(values: PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.refusal('values appended to what is no list');
    for (const value of values) list.push(value);
  }

  private setItems(items: PickleValue[]): void {
    const dict = this.top();
    if (!(dict instanceof PickleDict) || items.length % 2 !== 0) {
      throw this.refusal('items set on what is no dict');
    }
    for (let i = 0; i < items.length; i += 2) dict.entries.set(items[i] ?? null, items[i + 1] ?? null);
  }

  private recall(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) throw this.refusal(`a reference to ${index}, which was not stored`);
    this.push(value);
  }

  private stackGlobal(): void {
    const [module, name] = this.popMany(2);
    if (typeof module !== 'string' || typeof name !== 'string') throw this.refusal('a global without a name');
    this.pushGlobal(module, name);
  }

  private pushGlobal(module: string, name: string): void {
    const full = `${module}.${name}`;
    if (!isAllowed(full)) {
      throw this.refusal(
        `the global ${full}, which no state_dict needs. Nothing of it was run. If you trust the file, load it in ` +
          `PyTorch and save model.state_dict() alone, best as .safetensors`,
      );
    }
    this.push(new Global(full));
  }

  private reduce(): void {
    const [callable, args] = this.popMany(2);
    const [list] = Array.isArray(args) ? args : [];
    // A list takes a byte or two to be recalled, so that its copies would outgrow any file.
    this.copied += Array.isArray(list) ? list.length : 0;
    if (this.copied > this.bytes.length) throw this.refusal('one list copied again and again');
    const result = call(callable ?? null, args ?? null);
    if (result === undefined) {
      const name = callable instanceof Global ? callable.name : 'what is no global';
      throw this.refusal(`a call of ${name} with arguments that make no sense`);
    }
    this.push(result);
  }

  /** A state_dict's OrderedDict carries its modules' versions as an attribute, which nothing here needs. */
  private build(): void {
    this.pop();
    const target = this.top();
    if (!(target instanceof PickleDict && target.ordered)) {
      throw this.refusal('attributes set on what is no OrderedDict');
    }
  }

  private persistentId(): void {
    const storage = storageOf(this.pop());
    if (!storage) throw this.refusal('a persistent id that is no storage of a tensor');
    this.storages.set(storage.key, storage);
    this.push(storage);
  }

  private push(value: PickleValue): void {
    this.stack.push(value);
  }

  private top(): PickleValue {
    const value = this.stack.at(-1);
    if (value === undefined || value === MARK)
      throw this.refusal('an opcode that finds nothing on the stack');
    return value;
  }

  private pop(): PickleValue {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  private popMany(count: number): PickleValue[] {
    return Array.from({ length: count }, () => this.pop()).reverse();
  }

  private popToMark(): PickleValue[] {
    const mark = this.stack.lastIndexOf(MARK);
    if (mark < 0) throw this.refusal('an opcode that finds no mark on the stack');
    const values = this.stack.splice(mark + 1);
    this.stack.pop();
    return values;
  }

  /** Little-endian two's complement. */
  private long(length: number): number | bigint {
    const digits = Buffer.from(this.take(length)).reverse().toString('hex');
    if (digits === '') return 0;
    const value = BigInt.asIntN(8 * length, BigInt(`0x${digits}`));
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  private line(): string {
    const end = this.bytes.indexOf(0x0a, this.position);
    if (end < 0) throw this.cutOff();
    const text = this.bytes.toString('utf8', this.position, end);
    this.position = end + 1;
    return text;
  }

  private byte(): number {
    return this.take(1).readUInt8();
  }

  private skip(length: number): void {
    this.take(length);
  }

  private take(length: number): Buffer {
    const end = this.position + length;
    if (end > this.bytes.length) throw this.cutOff();
    const taken = this.bytes.subarray(this.position, end);
    this.position = end;
    return taken;
  }

  private cutOff(): LastlayerError {
    return new LastlayerError(
      `${this.path} is cut off in the middle of its pickle, after ${this.bytes.length} bytes.`,
    );
  }

  private refusal(what: string): LastlayerError {
    return new LastlayerError(`${this.path} is refused: at byte ${this.opcodeAt} its pickle holds ${what}.`);
  }
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
function isAllowed(name: string): boolean {
  return STORAGES.has(name) || CALLABLES.has(name);
}

/** What calling a global gives; undefined where it cannot be called, or not with these arguments. */
function call(callable: PickleValue, args: PickleValue): PickleValue | undefined {
  const rebuild = callable instanceof Global ? CALLABLES.get(callable.name) : undefined;
  return Array.isArray(args) ? rebuild?.(args) : undefined;
}

/**
 * What a persistent id stands for: ('storage', class, key, location, length) and, in the legacy format, a sixth entry for
 * a view, which is None since PyTorch 0.4 (torch/serialization.py, persistent_id).
 */
function storageOf(id: PickleValue): StorageReference | undefined {
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
