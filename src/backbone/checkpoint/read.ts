import { readSafetensors, type TensorData } from '../../formats/safetensors.js';
import { LastlayerError } from '../../util/errors.js';
import { lazily } from '../../util/lazily.js';

/** A model's weights by name, as in PyTorch's `state_dict()`, all as float32. */
export type Checkpoint = Map<string, TensorData>;

type CheckpointFormat = 'torch-zip' | 'torch-legacy' | 'safetensors';

/**
 * Reads the bytes of a checkpoint: .pth in the zip format of PyTorch 1.6 and later or in the earlier one, or .safetensors.
 * Opens the `state_dict`, `model` or the like of a training checkpoint, and strips what wrappers put before each name, such as
 * DataParallel (`module.`), torch.compile (`_orig_mod.`) and Lightning (`model.`); what is beside the network is left out. Code in
 * the file is never run.
 * @param path named in errors
 * @param onNotice receives a line for the user where the weights are in a dict inside it, and where a prefix was stripped
 * @throws {LastlayerError} if it is not a checkpoint, needs code where the weights are, or holds several networks
 */
export async function readCheckpoint(
  bytes: Buffer,
  path: string,
  onNotice?: (line: string) => void,
): Promise<Checkpoint> {
  const format = detectCheckpointFormat(bytes);
  if (!format) {
    throw new LastlayerError(`${path} is not a checkpoint: neither a .pth nor a .safetensors file.`);
  }
  const tensors = await READERS[format](bytes, path, onNotice);
  if (tensors.size === 0) throw new LastlayerError(`${path} holds no tensors.`);
  return withoutPrefix(tensors, path, onNotice);
}

/** The format of a checkpoint, by its first 16 bytes; undefined if it is not one. */
export function detectCheckpointFormat(head: Uint8Array): CheckpointFormat | undefined {
  if (startsWith(head, ZIP_MAGIC)) return 'torch-zip';
  if (startsWith(head, LEGACY_MAGIC)) return 'torch-legacy';
  // The length of the header, below 100 MB, then the header: a JSON object.
  const isSafetensors = head.length > 8 && head[8] === 0x7b && head.subarray(4, 8).every((byte) => byte === 0);
  return isSafetensors ? 'safetensors' : undefined;
}

const ZIP_MAGIC = [0x50, 0x4b, 0x03, 0x04];

/** A pickle of protocol 2 that holds the number 0x1950a86a20f9469cfc6c (torch/serialization.py, MAGIC_NUMBER). */
const LEGACY_MAGIC = [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, i) => bytes[i] === byte);
}

const READERS: Record<
  CheckpointFormat,
  (bytes: Buffer, path: string, onNotice?: (line: string) => void) => Checkpoint | Promise<Checkpoint>
> = {
  'torch-zip': lazily(async () => (await import('./torch.js')).readTorchZip),
  'torch-legacy': lazily(async () => (await import('./torch.js')).readTorchLegacy),
  safetensors: (bytes, path) => readSafetensors(bytes, path).tensors,
};

/** Every ResNet has both. */
const FIRST_NAMES = ['conv1.weight', 'layer1.0.conv1.weight'] as const;

function withoutPrefix(tensors: Checkpoint, path: string, onNotice?: (line: string) => void): Checkpoint {
  const [first, second] = FIRST_NAMES;
  const prefixes = [...tensors.keys()]
    .filter((name) => name === first || name.endsWith(`.${first}`))
    .map((name) => name.slice(0, -first.length))
    .filter((prefix) => tensors.has(prefix + second));
  const [prefix, ...others] = prefixes;
  if (prefix === undefined || prefixes.includes('')) return tensors;
  if (others.length > 0) {
    throw new LastlayerError(
      `${path} holds several networks, under ${prefixes.join(', ')}. Save the one to use alone, in Python ` +
        `torch.save({name[${prefix.length}:]: x for name, x in state_dict.items() if name.startswith(${JSON.stringify(prefix)})}, ` +
        'new_path), and pass that.',
    );
  }
  onNotice?.(`The weights of ${path} have ${prefix} before their names, which is left out.`);
  return new Map(
    [...tensors].flatMap(([name, tensor]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), tensor] as const] : [],
    ),
  );
}
