import { link, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Matrix } from 'ml-matrix';
import { encodeSafetensors, readSafetensors } from '../../src/formats/safetensors.js';
import { loadHead, saveHead } from '../../src/head/file.js';
import { pictureKeys, type Head } from '../../src/head/head.js';
import { trainHead } from '../../src/head/train.js';
import { IDS, overlapping } from './data.js';

/** The keys of these are the largest, the smallest, and one that a float32 does not hold. */
const DIGESTS = ['f'.repeat(64), '0'.repeat(64), '0000010000010'.padEnd(64, '0')] as const;

let folder: string;
let path: string;
let head: Head;

beforeAll(async () => {
  const trained = await trainHead({ ...IDS, ...overlapping() });
  head = trained.with({
    counts: { ...trained.counts, validation: [3, 0, 1] },
    metrics: { validation: { accuracy: 0.75, precision: null, confusion: [[3, 0]] } },
    temperature: 1.25,
    trainedOn: pictureKeys(DIGESTS),
    unknown: {
      means: new Matrix([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.6, 0.8].map(Math.fround)]),
      typical: { count: 3, scores: [-0.1, 0.7, 0.1 + 0.7] },
      rate: 0.1,
    },
  });
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lastlayer-head-'));
  path = join(folder, 'head.safetensors');
  await saveHead(path, head);
});

afterEach(() => rm(folder, { recursive: true }));

/** Writes the file anew with its tensors and metadata changed in place. */
async function rewrite(change: (file: ReturnType<typeof readSafetensors>) => void): Promise<void> {
  const file = readSafetensors(await readFile(path), path);
  change(file);
  await writeFile(path, encodeSafetensors(file.tensors, file.metadata));
}

test('a head comes back exactly', async () => {
  expect(await loadHead(path)).toEqual(head);
});

test('it knows which pictures it was trained on, by their digests', async () => {
  const loaded = await loadHead(path);
  expect(DIGESTS.map((digest) => loaded.wasTrainedOn(digest))).toEqual([true, true, true]);
  expect(loaded.wasTrainedOn('0000010000020'.padEnd(64, '0'))).toBe(false);
  expect(head.with({ trainedOn: null }).wasTrainedOn(DIGESTS[0])).toBeUndefined();
});

test('a label may be any text', async () => {
  const odd = head.with({ labels: ['"quoted"', 'two\nlines', '蜂 🐝'] });
  await saveHead(path, odd);
  expect((await loadHead(path)).labels).toEqual(odd.labels);
});

test('fc.weight and fc.bias are what torchvision’s fc takes: float32 [N, D] and [N]', async () => {
  const bytes = await readFile(path);
  const headerLength = Number(bytes.readBigUInt64LE(0));
  const header: unknown = JSON.parse(bytes.subarray(8, 8 + headerLength).toString());
  expect(header).toMatchObject({
    'fc.weight': { dtype: 'F32', shape: [3, 4] },
    'fc.bias': { dtype: 'F32', shape: [3] },
    __metadata__: {
      format: 'lastlayer-head',
      version: '1',
      labels: '["ant","bee","wasp"]',
      modelId: IDS.modelId,
      transformId: IDS.transformId,
      l2: '0.1',
      counts: '{"train":[20,20,20],"validation":[3,0,1]}',
      metrics: '{"validation":{"accuracy":0.75,"precision":null,"confusion":[[3,0]]}}',
      created: head.created,
      lastlayer: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
    },
  });
  const { tensors } = readSafetensors(bytes, path);
  expect([...(tensors.get('fc.weight')?.data ?? [])]).toEqual(head.weights.to1DArray());
  expect(tensors.get('fc.bias')?.data).toEqual(head.bias);
});

test('the file is replaced as a whole, never written over', async () => {
  const old = join(folder, 'old.safetensors');
  await link(path, old);
  await saveHead(path, head.with({ l2: 7 }));
  expect((await loadHead(old)).l2).toBe(0.1);
  expect((await loadHead(path)).l2).toBe(7);
  expect((await readdir(folder)).sort()).toEqual(['head.safetensors', 'old.safetensors']);
});

test('a folder that is not there is made', async () => {
  const deep = join(folder, 'a', 'b', 'head.safetensors');
  await saveHead(deep, head);
  expect(await loadHead(deep)).toEqual(head);
});

test('a head that cannot be written says where', async () => {
  const taken = join(folder, 'taken');
  await mkdir(taken);
  await expect(saveHead(taken, head)).rejects.toThrow(`The head cannot be written to ${taken}: `);
  expect((await readdir(folder)).sort()).toEqual(['head.safetensors', 'taken']);
});

test('a file that is not there is named, with how to make it', async () => {
  const nowhere = join(folder, 'nowhere');
  await expect(loadHead(nowhere)).rejects.toThrow(
    `There is no head ${nowhere} yet. Run \`npm run train-head -- --out ${nowhere}\` first.`,
  );
});

test('a file cut short, or no safetensors at all, is refused by name', async () => {
  const bytes = await readFile(path);
  for (const cut of [bytes.subarray(0, 4), bytes.subarray(0, 200), bytes.subarray(0, -1), Buffer.from('head')]) {
    await writeFile(path, cut);
    await expect(loadHead(path)).rejects.toMatchObject({
      name: 'LastlayerError',
      message: expect.stringContaining(path) as string,
    });
  }
});

type File = ReturnType<typeof readSafetensors>;

test.each<[string, (file: File) => void]>([
  [
    'PATH is not a head: its metadata do not say format "lastlayer-head". Pass a file that train-head wrote.',
    ({ metadata }) => delete metadata['format'],
  ],
  [
    'PATH is a head of version 3, but this lastlayer reads version 1. Use the lastlayer that wrote it, or train it again.',
    ({ metadata }) => (metadata['version'] = '3'),
  ],
  ['PATH is damaged: its metadata lack transformId. Train it again.', ({ metadata }) => delete metadata['transformId']],
  ['PATH is damaged: its metadata lack labels. Train it again.', ({ metadata }) => delete metadata['labels']],
  [
    'PATH is damaged: its metadata hold no valid labels. Train it again.',
    ({ metadata }) => (metadata['labels'] = '["ant", 2, "wasp"]'),
  ],
  ['PATH is damaged: its metadata hold no valid l2. Train it again.', ({ metadata }) => (metadata['l2'] = '"1"')],
  [
    'PATH is damaged: its metadata hold no valid counts. Train it again.',
    ({ metadata }) => (metadata['counts'] = '{"train":[20,20,20]}'),
  ],
  [
    'PATH is damaged: its metadata hold no valid training. Train it again.',
    ({ metadata }) => (metadata['training'] = '{"iterations":3}'),
  ],
  [
    'PATH is damaged: its metadata hold no valid temperature. Train it again.',
    ({ metadata }) => (metadata['temperature'] = 'warm'),
  ],
  [
    "PATH is damaged: The head's temperature is -1. It must be a number above 0. Train it again.",
    ({ metadata }) => (metadata['temperature'] = '-1'),
  ],
  [
    'PATH is damaged: its metadata hold no valid metrics. Train it again.',
    ({ metadata }) => (metadata['metrics'] = '{'),
  ],
  [
    'PATH is damaged: The head has 2 labels but 3 rows of weights. There must be as many. Train it again.',
    ({ metadata }) => (metadata['labels'] = '["ant","bee"]'),
  ],
  [
    'PATH is damaged: The head holds class means that are NaN or infinite. Train it again.',
    ({ tensors }) => tensors.get('class_means')?.data.fill(NaN, 5, 6),
  ],
  [
    'PATH is damaged: The head holds a list of training pictures that is not one of ascending digests. Train it again.',
    ({ tensors }) => tensors.get('trained_on')?.data.fill(NaN, 2, 3),
  ],
  [
    'PATH is damaged: trained_on is [6] where [M, 2] is expected. Train it again.',
    ({ tensors }) => tensors.set('trained_on', { shape: [6], data: new Float32Array(6) }),
  ],
  [
    'PATH is damaged: The head has no labels. Train it again.',
    ({ tensors, metadata }) => {
      tensors.clear();
      tensors.set('fc.weight', { shape: [0, 4], data: new Float32Array() });
      tensors.set('fc.bias', { shape: [0], data: new Float32Array() });
      metadata['labels'] = '[]';
      metadata['counts'] = '{"train":[],"validation":[]}';
    },
  ],
  [
    'PATH is damaged: The head holds weights that are NaN or infinite. Train it again.',
    ({ tensors }) => tensors.get('fc.weight')?.data.fill(NaN, 5, 6),
  ],
  [
    'PATH is damaged: a head has the tensors fc.weight and fc.bias, but this file has class_means, fc.weight, trained_on. Train it again.',
    ({ tensors }) => tensors.delete('fc.bias'),
  ],
  [
    'PATH is damaged: fc.weight is [3, 4] and fc.bias [2] where [N, D] and [N] are expected. Train it again.',
    ({ tensors }) => tensors.set('fc.bias', { shape: [2], data: Float32Array.of(0, 0) }),
  ],
  [
    'PATH is damaged: fc.weight is [12] and fc.bias [3] where [N, D] and [N] are expected. Train it again.',
    ({ tensors }) => tensors.set('fc.weight', { shape: [12], data: new Float32Array(12) }),
  ],
])('says: %s', async (message, change) => {
  await rewrite(change);
  await expect(loadHead(path)).rejects.toThrow(new Error(message.replace('PATH', path)));
});
