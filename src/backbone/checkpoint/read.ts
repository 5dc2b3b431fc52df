import { type Dtype, readSafetensors, type TensorData } from '../../formats/safetensors.js';
import { LastlayerError, messageOf } from '../../util/errors.js';
import { readRegularFile } from '../../util/files.js';
import { readTorchLegacy, readTorchZip } from './torch.js';

/** A network's weights by name, as PyTorch's `state_dict()` gives them, all as float32. */
export type Checkpoint = Map<string, TensorData>;

type CheckpointFormat = 'torch-zip' | 'torch-legacy' | 'safetensors';

/**
 * Reads a checkpoint: .pth in the zip format of PyTorch 1.6 and later or in the one before, or .safetensors. The
 * `state_dict` or `model` of a training checkpoint is opened, and the prefixes that DataParallel (`module.`) and
 * torch.compile (`_orig_mod.`) put before each name are taken off. No code in the file is ever run.
 * @param source what to call the file in errors
 * @throws {LastlayerError} where it cannot be read, or holds what no state_dict needs
 */
export async function readCheckpoint(path: string, source = path): Promise<Checkpoint> {
  const bytes = await read(path, source);
  const format = detectCheckpointFormat(bytes);
  if (!format)
    throw new LastlayerError(`${source} is no checkpoint: neither a .pth nor a .safetensors file.`);
  const tensors = await READERS[format](bytes, source);
  if (tensors.size === 0) throw new LastlayerError(`${source} holds no tensors.`);
  return withoutPrefix(tensors);
}

/** What kind of checkpoint a file is by its first 16 bytes; undefined where it is none. */
export function detectCheckpointFormat(head: Uint8Array): CheckpointFormat | undefined {
  if (startsWith(head, ZIP_MAGIC)) return 'torch-zip';
  if (startsWith(head, LEGACY_MAGIC)) return 'torch-legacy';
  // The length of the header, which is below 100 MB, then the header: a JSON object.
  if (head.length > 8 && head[8] === 0x7b && head.subarray(4, 8).every((byte) => byte === 0))
    return 'safetensors';
  return undefined;
}

const ZIP_MAGIC = [0x50, 0x4b, 0x03, 0x04];

/** A pickle of protocol 2 that holds the number 0x1950a86a20f9469cfc6c (torch/serialization.py, MAGIC_NUMBER). */
const LEGACY_MAGIC = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

const READERS: Record<CheckpointFormat, (bytes: Buffer, source: string) => Checkpoint | Promise<Checkpoint>> =
  {
    'torch-zip': readTorchZip,
    'torch-legacy': readTorchLegacy,
    safetensors: (bytes, source) => readSafetensors(bytes, source).tensors,
  };

const PREFIXES = ['module.', '_orig_mod.'];

function withoutPrefix(tensors: Checkpoint): Checkpoint {
  const prefix = PREFIXES.find((candidate) =>
    [...tensors.keys()].every((name) => name.startsWith(candidate)),
  );
  if (prefix === undefined) return tensors;
  return withoutPrefix(new Map([...tensors].map(([name, tensor]) => [name.slice(prefix.length), tensor])));
}

function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, i) => bytes[i] === byte);
}

async function read(path: string, source: string): Promise<Buffer> {
  try {
    return await readRegularFile(path);
  } catch (error) {
    throw new LastlayerError(`The checkpoint ${source} cannot be read: ${messageOf(error)}.`);
  }
}

/** What a pickle of a state_dict can hold. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | PickleValue[]
  | PickleDict
  | Global
  | StorageReference
  | TensorReference
  | typeof MARK;

/** What MARK pushes on the stack. */
export const MARK = Symbol('mark');

/** A dict or an OrderedDict. A Map, so that no key means anything to JavaScript. */
export class PickleDict {
  readonly entries = new Map<PickleValue, PickleValue>();

  constructor(readonly ordered: boolean) {}
}

/** A name of Python that the allow-list has. */
export class Global {
  constructor(readonly name: string) {}
}

/** Names a block of bytes that lies elsewhere in the file. */
export class StorageReference {
  constructor(
    readonly key: string,
    readonly dtype: Dtype,
    /** Elements that the pickle says it has. */
    readonly length: number,
  ) {}
}

/** A view of a storage: element (i, j, …) lies at offset + i · strides[0] + j · strides[1] + … */
export class TensorReference {
  constructor(
    readonly storage: StorageReference,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}
