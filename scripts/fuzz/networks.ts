import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { probeModel } from '../../src/backbone/load.js';
import { readModel } from '../../src/backbone/model.js';
import { encodeSafetensors } from '../../src/formats/safetensors.js';
import { smallCheckpoint } from '../../test/support/reference-resnet.js';
import { smallNetwork } from '../../test/support/small-network.js';
import { pickle, tensor, torchLegacy, torchZip } from '../../test/support/torch-file.js';
import { pickleFields, zipFields } from './checkpoint-fields.js';
import { type Field, mutate } from './mutate.js';
import { mutateMessage } from './protobuf.js';
import { mutateSafetensors } from './safetensors.js';
import type { Target } from './target.js';

const WEIGHTS = smallCheckpoint({ blocks: [1, 1, 1, 1], channels: 2, width: 2, groups: 1, classes: 3 });

/** A small ResNet's state_dict as a pickle, and its storages. */
function pickled(): { root: Buffer; storages: Record<string, Buffer> } {
  const entries = [...WEIGHTS].map(([name, { shape, data }], key) => ({
    name,
    shape,
    data,
    key: String(key),
  }));
  return {
    root: pickle.dict(...entries.flatMap(({ name, shape, key }) => [pickle.text(name), tensor(key, shape)])),
    storages: Object.fromEntries(entries.map(({ key, data }) => [key, Buffer.from(data.slice().buffer)])),
  };
}

/** torch's legacy format: five pickles, then the storages. */
export async function pickleTarget(): Promise<Target> {
  const { root, storages } = pickled();
  const legacy = torchLegacy(root, storages);
  const lengths = [...WEIGHTS.values()].reduce((bytes, { data }) => bytes + 8 + 4 * data.length, 0);
  const zip = await torchZip(root, storages);
  return blindly([legacy], [pickleFields(legacy, 0, legacy.length - lengths)], [zip]);
}

/** torch's zip format: an archive with a pickle in it. */
export async function zipTarget(): Promise<Target> {
  const { root, storages } = pickled();
  const zip = await torchZip(root, storages);
  const start = zip.indexOf(root);
  const inPickle = pickleFields(zip, start, start + root.length);
  return blindly([zip, zip], [zipFields(zip), inPickle], [torchLegacy(root, storages)]);
}

export async function safetensorsTarget(): Promise<Target> {
  const file = Buffer.from(encodeSafetensors(WEIGHTS, { format: 'pt' }));
  return Promise.resolve({ mutant: (random) => mutateSafetensors(file, random), attempt: readsModel() });
}

/** A small ONNX model, mutated by the structure of protobuf or blindly. */
export async function onnxTarget(): Promise<Target> {
  const file = Buffer.from(smallNetwork());
  const length: Field = { at: 1, bytes: 1, endian: 'little' };
  return Promise.resolve({
    mutant: (random) => (random.chance(0.8) ? mutateMessage(file, random) : mutate(file, [length], [file], random)),
    attempt: readsModel(),
  });
}

/** Mutates one of the files, each with its own fields. */
function blindly(files: Buffer[], fields: Field[][], others: Buffer[]): Target {
  return {
    mutant: (random) => {
      const which = random.whole(0, files.length - 1);
      return mutate(files[which]!, fields[which]!, [...files, ...others], random);
    },
    attempt: readsModel(),
  };
}

/** Reads a model as fetch-model does: cuts it, and runs it in onnxruntime. */
function readsModel(): Target['attempt'] {
  const folder = mkdtempSync(join(tmpdir(), 'lastlayer-fuzz-'));
  process.on('exit', () => {
    rmSync(folder, { recursive: true, force: true });
  });
  const path = join(folder, 'model');
  return async (bytes) => {
    writeFileSync(path, bytes);
    await probeModel(await readModel(path), path, { threads: 1 });
  };
}
