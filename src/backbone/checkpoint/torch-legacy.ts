import { LastlayerError } from '../../errors.js';
import { bytesPerElement, type TensorData } from '../../safetensors/index.js';
import { readPickle } from './pickle.js';
import { materializeAll, tensorsOf } from './tensor.js';
import { PickleDict, type PickleValue, type StorageReference } from './values.js';

const PROTOCOL = 1001;

/**
 * Reads what torch.save wrote before PyTorch 1.6 (torch/serialization.py, _legacy_save): pickles of a magic number, a
 * protocol number, the machine's properties, the checkpoint and the storages' keys; then each storage's length and bytes.
 * @throws {LastlayerError} where the bytes break the format, or ask for what no state_dict needs
 */
export function readTorchLegacy(bytes: Buffer, path: string): Map<string, TensorData> {
  const magic = readPickle(bytes, 0, path);
  const protocol = readPickle(bytes, magic.end, path);
  if (protocol.value !== PROTOCOL) {
    throw new LastlayerError(`${path} has another version of torch's legacy format than ${PROTOCOL}.`);
  }
  const system = readPickle(bytes, protocol.end, path);
  if (system.value instanceof PickleDict && system.value.entries.get('little_endian') === false) {
    throw new LastlayerError(`${path} was written on a big-endian machine. Save it again on another one.`);
  }
  const checkpoint = readPickle(bytes, system.end, path);
  const keys = readPickle(bytes, checkpoint.end, path);
  const storages = readStorages(bytes, keys.end, keys.value, checkpoint.storages, path);
  return materializeAll(tensorsOf(checkpoint.value, path), storages, path, bytes.length);
}

function readStorages(
  bytes: Buffer,
  start: number,
  keys: PickleValue,
  references: ReadonlyMap<string, StorageReference>,
  path: string,
): Map<string, Uint8Array> {
  const storages = new Map<string, Uint8Array>();
  let position = start;
  for (const key of Array.isArray(keys) ? keys : []) {
    const reference = typeof key === 'string' ? references.get(key) : undefined;
    if (!reference) {
      throw new LastlayerError(`${path} lists a storage that no tensor is made of.`);
    }
    if (position + 8 > bytes.length) throw cutOff(reference.key, path);
    const length = Number(bytes.readBigInt64LE(position)) * bytesPerElement(reference.dtype);
    position += 8;
    if (length < 0 || position + length > bytes.length) throw cutOff(reference.key, path);
    storages.set(reference.key, bytes.subarray(position, position + length));
    position += length;
  }
  return storages;
}

function cutOff(key: string, path: string): LastlayerError {
  return new LastlayerError(
    `${path} is cut off: the storage ${key} is not there as a whole. Get the file again.`,
  );
}
