import { type Entry, fromBufferPromise, type ZipFile } from 'yauzl';
import { bytesPerElement, type TensorData } from '../../formats/safetensors.js';
import { LastlayerError, messageOf } from '../../util/errors.js';
import { readPickle } from './pickle.js';
import { materializeAll, tensorsOf } from './tensor.js';
import { PickleDict, type PickleValue, type StorageReference } from './values.js';

/** The pickle of a state_dict holds only names and shapes: some tens of kilobytes. */
const MAX_PICKLE_BYTES = 100 * 2 ** 20;

/**
 * Reads what torch.save has written since PyTorch 1.6 (caffe2/serialize/inline_container.h): an uncompressed zip archive
 * with one folder, of any name, that holds `data.pkl`, the bytes of each storage as `data/KEY`, and `byteorder`.
 * @param path named in errors
 * @param onNotice receives a line for the user where the tensors are in a dict inside the checkpoint
 * @throws {LastlayerError} if the bytes break the format, or need more than a state_dict does
 */
export async function readTorchZip(
  bytes: Buffer,
  path: string,
  onNotice?: (line: string) => void,
): Promise<Map<string, TensorData>> {
  const archive = await TorchArchive.open(bytes, path);
  const byteOrder = (await archive.read('byteorder'))?.toString().trim() ?? 'little';
  if (byteOrder !== 'little') {
    throw new LastlayerError(`${path} was written on a big-endian machine. Save it again on a little-endian one.`);
  }
  const pickle = await archive.read('data.pkl');
  if (!pickle || pickle.length > MAX_PICKLE_BYTES) {
    throw new LastlayerError(`${path} has a data.pkl of ${pickle?.length ?? 0} bytes, so it is not a state_dict.`);
  }
  const { value, storages } = readPickle(pickle, 0, path);
  const contents = new Map<string, Uint8Array>();
  for (const key of storages.keys()) {
    const content = await archive.read(`data/${key}`);
    if (content) contents.set(key, content);
  }
  return materializeAll(tensorsOf(value, path, onNotice), contents, path, bytes.length);
}

/** The files in the archive's folder, as views of its bytes: nothing is copied. */
class TorchArchive {
  private constructor(
    private readonly bytes: Buffer,
    private readonly path: string,
    private readonly zip: ZipFile,
    private readonly folder: string,
    private readonly entries: ReadonlyMap<string, Entry>,
  ) {}

  static async open(bytes: Buffer, path: string): Promise<TorchArchive> {
    const entries = new Map<string, Entry>();
    try {
      const zip = await fromBufferPromise(bytes, { lazyEntries: true, autoClose: false });
      for await (const entry of zip.eachEntry()) {
        if (entries.has(entry.fileName)) throw new Error(`it holds ${entry.fileName} twice`);
        entries.set(entry.fileName, entry);
      }
      const folders = [...entries.keys()].flatMap((name) => /^([^/]+\/)data\.pkl$/.exec(name)?.[1] ?? []);
      const [folder] = folders;
      if (folder === undefined || folders.length > 1) throw new Error('it has no data.pkl, or several');
      return new TorchArchive(bytes, path, zip, folder, entries);
    } catch (error) {
      throw new LastlayerError(
        `${path} is not a checkpoint that torch.save wrote, or not the whole of it: ${messageOf(error)}.`,
      );
    }
  }

  /** The bytes of a file; undefined if there is none. */
  async read(name: string): Promise<Buffer | undefined> {
    const entry = this.entries.get(this.folder + name);
    if (!entry) return undefined;
    if (entry.compressionMethod !== 0 || entry.isEncrypted()) {
      throw new LastlayerError(
        `${this.path}: ${entry.fileName} is compressed or encrypted, which torch.save never does.`,
      );
    }
    const start = await this.start(entry);
    if (start + entry.uncompressedSize > this.bytes.length) {
      throw new LastlayerError(`${this.path} is cut off in ${entry.fileName}. Get the file again.`);
    }
    return this.bytes.subarray(start, start + entry.uncompressedSize);
  }

  private async start(entry: Entry): Promise<number> {
    try {
      return (await this.zip.readLocalFileHeaderPromise(entry, { minimal: true })).fileDataStart;
    } catch (error) {
      throw new LastlayerError(`${this.path} is damaged at ${entry.fileName}: ${messageOf(error)}.`);
    }
  }
}

const PROTOCOL = 1001;

/**
 * Reads what torch.save wrote before PyTorch 1.6 (torch/serialization.py, _legacy_save): pickles of a magic number, a
 * protocol number, properties of the machine, the checkpoint and the storages' keys; then the length and bytes of each storage.
 * @param path named in errors
 * @param onNotice receives a line for the user where the tensors are in a dict inside the checkpoint
 * @throws {LastlayerError} if the bytes break the format, or need more than a state_dict does
 */
export function readTorchLegacy(
  bytes: Buffer,
  path: string,
  onNotice?: (line: string) => void,
): Map<string, TensorData> {
  const magic = readPickle(bytes, 0, path);
  const protocol = readPickle(bytes, magic.end, path);
  if (protocol.value !== PROTOCOL) {
    throw new LastlayerError(`${path} is in torch's legacy format, but not in version ${PROTOCOL} of it.`);
  }
  const system = readPickle(bytes, protocol.end, path);
  if (system.value instanceof PickleDict && system.value.entries.get('little_endian') === false) {
    throw new LastlayerError(`${path} was written on a big-endian machine. Save it again on a little-endian one.`);
  }
  const checkpoint = readPickle(bytes, system.end, path);
  const keys = readPickle(bytes, checkpoint.end, path);
  const storages = readStorages(bytes, keys.end, keys.value, checkpoint.storages, path);
  return materializeAll(tensorsOf(checkpoint.value, path, onNotice), storages, path, bytes.length);
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
    if (!reference) throw new LastlayerError(`${path} lists a storage that no tensor uses.`);
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
  return new LastlayerError(`${path} is cut off in the storage ${key}. Get the file again.`);
}
