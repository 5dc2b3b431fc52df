import { LastlayerError } from '../../util/errors.js';
import {
  call,
  Global,
  isAllowed,
  MARK,
  Opaque,
  PickleDict,
  type PickleValue,
  storageOf,
  type StorageReference,
} from './values.js';

/**
 * Reads one pickle, with only the few opcodes and globals that a state_dict needs. It never runs anything: a global is a
 * name on a list, and calling one builds one of the values of values.ts. Any other global, and what is made of it, is an
 * {@link Opaque} value. Opcodes are as in Python's pickletools.
 * @param start where in the bytes the pickle begins
 * @param path named in errors
 * @throws {LastlayerError} if the bytes are cut off, or need anything else; the message says what, and where
 */
export function readPickle(bytes: Buffer, start: number, path: string): Unpickled {
  return new PickleReader(bytes, start, path).read();
}

interface Unpickled {
  value: PickleValue;
  /** Offset of the next byte. */
  end: number;
  /** The storages that it refers to, by key. */
  storages: Map<string, StorageReference>;
}

class PickleReader {
  private readonly stack: PickleValue[] = [];
  private readonly memo = new Map<number, PickleValue>();
  private readonly storages = new Map<string, StorageReference>();
  /** Items of lists that were passed to calls. */
  private copied = 0;
  /** Offset of the current opcode. */
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
        this.take(1);
        break;
      case 0x95: // FRAME
        this.take(8);
        break;
      case 0x61: // APPEND
        this.append([this.pop()]);
        break;
      case 0x65: // APPENDS
        this.append(this.popToMark());
        break;
      case 0x73: // SETITEM
        this.setItems(this.popMany(2));
        break;
      case 0x75: // SETITEMS
        this.setItems(this.popToMark());
        break;
      case 0x90: // ADDITEMS
        this.append(this.popToMark());
        break;
      case 0x71: // BINPUT
        this.memo.set(this.byte(), this.top());
        break;
      case 0x72: // LONG_BINPUT
        this.memo.set(this.take(4).readUInt32LE(), this.top());
        break;
      case 0x94: // MEMOIZE
        this.memo.set(this.memo.size, this.top());
        break;
      case 0x62: // BUILD
        this.build();
        break;
      default:
        this.stack.push(this.evaluate(opcode));
    }
  }

  /** The value that an opcode pushes. */
  private evaluate(opcode: number): PickleValue {
    switch (opcode) {
      case 0x28: // MARK
        return MARK;
      case 0x4e: // NONE
        return null;
      case 0x88: // NEWTRUE
        return true;
      case 0x89: // NEWFALSE
        return false;
      case 0x4b: // BININT1
        return this.byte();
      case 0x4d: // BININT2
        return this.take(2).readUInt16LE();
      case 0x4a: // BININT
        return this.take(4).readInt32LE();
      case 0x8a: // LONG1
        return this.long(this.byte());
      case 0x47: // BINFLOAT
        return this.take(8).readDoubleBE();
      case 0x55: // SHORT_BINSTRING
        return this.take(this.byte()).toString('latin1');
      case 0x43: // SHORT_BINBYTES
        return this.take(this.byte()).toString('latin1');
      case 0x42: // BINBYTES
        return this.take(this.take(4).readUInt32LE()).toString('latin1');
      case 0x8c: // SHORT_BINUNICODE
        return this.take(this.byte()).toString();
      case 0x58: // BINUNICODE
        return this.take(this.take(4).readUInt32LE()).toString();
      case 0x29: // EMPTY_TUPLE
      case 0x5d: // EMPTY_LIST
        return [];
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return this.popMany(opcode - 0x84);
      case 0x74: // TUPLE
        return this.popToMark();
      case 0x8f: // EMPTY_SET
        return new Opaque('builtins.set', this.opcodeAt);
      case 0x7d: // EMPTY_DICT
        return new PickleDict(false);
      case 0x68: // BINGET
        return this.recall(this.byte());
      case 0x6a: // LONG_BINGET
        return this.recall(this.take(4).readUInt32LE());
      case 0x63: // GLOBAL
        return this.global(this.line(), this.line());
      case 0x93: // STACK_GLOBAL
        return this.stackGlobal();
      case 0x52: // REDUCE
      case 0x81: // NEWOBJ
        return this.reduce();
      case 0x51: // BINPERSID
        return this.persistentId();
      default:
        throw this.refusal(`the opcode 0x${opcode.toString(16).padStart(2, '0')}, which no state_dict needs`);
    }
  }

  private append(values: PickleValue[]): void {
    const list = this.top();
    if (list instanceof Opaque) return;
    if (!Array.isArray(list)) throw this.refusal('values appended to something that is not a list');
    for (const value of values) list.push(value);
  }

  private setItems(items: PickleValue[]): void {
    const dict = this.top();
    if (dict instanceof Opaque) return;
    if (!(dict instanceof PickleDict) || items.length % 2 !== 0) {
      throw this.refusal('items set on something that is not a dict');
    }
    for (let i = 0; i < items.length; i += 2) dict.entries.set(items[i]!, items[i + 1]!);
  }

  private recall(index: number): PickleValue {
    const value = this.memo.get(index);
    if (value === undefined) throw this.refusal(`a reference to ${index}, which was not stored`);
    return value;
  }

  private stackGlobal(): Global | Opaque {
    const [module, name] = this.popMany(2);
    if (typeof module !== 'string' || typeof name !== 'string') throw this.refusal('a global without a name');
    return this.global(module, name);
  }

  private global(module: string, name: string): Global | Opaque {
    const full = `${module}.${name}`;
    return isAllowed(full) ? new Global(full) : new Opaque(full, this.opcodeAt);
  }

  private reduce(): PickleValue {
    const [callable, args] = this.popMany(2);
    const [list] = Array.isArray(args) ? args : [];
    // Recalling a list takes a byte or two, so a small file could copy it without bound.
    this.copied += Array.isArray(list) ? list.length : 0;
    if (this.copied > this.bytes.length) throw this.refusal('one list copied again and again');
    const result = call(callable!, args!);
    if (result === undefined) {
      const name = callable instanceof Global ? callable.name : 'something that is not a global';
      throw this.refusal(`a call of ${name} with arguments that make no sense`);
    }
    return result;
  }

  /** A state_dict's OrderedDict has the versions of its modules as an attribute, which is not needed here. */
  private build(): void {
    this.pop();
    const target = this.top();
    if (target instanceof Opaque) return;
    if (!(target instanceof PickleDict && target.ordered)) {
      throw this.refusal('attributes set on something that is not an OrderedDict');
    }
  }

  private persistentId(): StorageReference {
    const storage = storageOf(this.pop());
    if (!storage) throw this.refusal("a persistent id that is not a tensor's storage");
    this.storages.set(storage.key, storage);
    return storage;
  }

  private top(): PickleValue {
    const value = this.stack.at(-1);
    if (value === undefined || value === MARK) {
      throw this.refusal('an opcode that finds nothing on the stack');
    }
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

  private take(length: number): Buffer {
    const end = this.position + length;
    if (end > this.bytes.length) throw this.cutOff();
    const taken = this.bytes.subarray(this.position, end);
    this.position = end;
    return taken;
  }

  private cutOff(): LastlayerError {
    return new LastlayerError(`${this.path} is cut off in the middle of its pickle, after ${this.bytes.length} bytes.`);
  }

  private refusal(what: string): LastlayerError {
    return new LastlayerError(`${this.path} is refused: at byte ${this.opcodeAt} its pickle holds ${what}.`);
  }
}
