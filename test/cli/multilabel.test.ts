import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { lastlayer } from '../support/command-line.js';
import { stripes, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const root = await temporaryFolder();
const model = ['--model', 'small.onnx'];

async function run(...args: string[]) {
  return lastlayer(args, root);
}

async function writeManifest(name: string, rows: readonly object[]): Promise<void> {
  await writeFile(join(root, name), rows.map((row) => JSON.stringify(row)).join('\n'));
}

/** A picture with flat stripes above, steep ones below, both or neither: then it is plain. */
async function draw(name: string, labels: readonly string[], seed: number): Promise<void> {
  const layers = [
    ...(labels.includes('flat') ? [{ input: await stripes(90, seed, 80, 32), top: 0, left: 0 }] : []),
    ...(labels.includes('steep') ? [{ input: await stripes(0, seed + 500, 80, 32), top: 32, left: 0 }] : []),
  ];
  const background = { r: 120 + (seed % 20), g: 130 + (seed % 7), b: 125 + (seed % 11) };
  await sharp({ create: { width: 80, height: 64, channels: 3, background } })
    .composite(layers)
    .png()
    .toFile(join(root, name));
}

const SETS = [['flat'], ['steep'], ['steep', 'flat'], []];

beforeAll(async () => {
  await writeFile(join(root, 'small.onnx'), smallNetwork());
  const rows = Array.from({ length: 40 }, (_, i) => ({
    path: `${i}.png`,
    labels: SETS[i % 4] ?? [],
    split: i < 32 ? 'train' : 'test',
  }));
  for (const [i, { path, labels }] of rows.entries()) await draw(path, labels, i + 1);
  await writeManifest('pictures.jsonl', rows);
  const { code, stdout } = await run('embed', 'pictures.jsonl', ...model);
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/flat 20, steep 20/) as string });
});

test('train-head makes a head of any number of labels out of a manifest with lists, and tells how good it is', async () => {
  const { code, stdout, stderr } = await run('train-head');
  expect({ code, stderr }).toMatchObject({ code: 0 });
  expect(stdout).toContain('trained on 32 pictures with any number of 2 labels');
  expect(stdout).toMatch(/new pictures, by 5-fold cross-validation: mAP [\d.]+ % of 32\n/);
  expect(stdout).toMatch(/\n {2}label +AP +threshold +precision +recall +F1 +pictures\n {2}flat +[\d.]+ % +0\.\d{3} /);
  expect(stdout).toContain('pictures not used: 8 of the test split');
  const json: unknown = JSON.parse((await run('train-head', '--json')).stdout);
  expect(json).toMatchObject({
    ...{ kind: 'multilabel', labels: ['flat', 'steep'], validatedOn: 'cross-validation' },
    thresholds: [expect.any(Number), expect.any(Number)],
    counts: { train: [16, 16] },
    validation: { count: 32, perLabel: [{ label: 'flat', support: 16 }, { label: 'steep' }] },
  });
  const { validation } = json as { validation: { meanAveragePrecision: number } };
  expect(validation.meanAveragePrecision).toBeGreaterThan(0.7);
});

test('evaluate judges it on the test split, and counts labels that it does not know', async () => {
  const args = ['evaluate', '--head', 'head.safetensors', ...model];
  const { code, stdout } = await run(...args, 'pictures.jsonl');
  expect(code).toBe(0);
  expect(stdout).toMatch(/pictures\.jsonl, split test: mAP [\d.]+ % of 8\n {2}macro F1/);
  await writeManifest('others.jsonl', [
    { path: '0.png', labels: ['flat', 'dotted'] },
    { path: '1.png', labels: ['steep'] },
    { path: '2.png' },
  ]);
  expect(JSON.parse((await run(...args, 'others.jsonl', '--json')).stdout)).toMatchObject({
    metrics: {
      count: 2,
      perLabel: [{ label: 'flat', support: 1 }, { support: 1 }],
      unknown: [{ label: 'dotted', count: 1 }],
    },
    unlabelled: 1,
  });
});

test('predict gives the labels above their thresholds, and the most probable ones all the same', async () => {
  const args = ['predict', '--head', 'head.safetensors', ...model];
  const { stdout } = await run(...args, '--top-k', '1', '2.png', '3.png');
  expect(stdout).toMatch(
    /^2\.png: flat, steep\n {2}(flat|steep) +[\d.]+ %\n3\.png: none of the labels\n {2}\w+ +[\d.]+ %\n$/,
  );
  expect(JSON.parse((await run(...args, '--json', '2.png')).stdout)).toMatchObject({
    predictions: [{ path: '2.png', labels: ['flat', 'steep'], predictions: [{}, {}] }],
  });
});

test('predict puts a picture into the folder of each of its labels, and writes a manifest', async () => {
  const args = ['predict', '--head', 'head.safetensors', ...model];
  const { stdout } = await run(...args, '--copy-to', 'sorted', '--csv', 'labels.csv', '2.png', '3.png');
  expect(stdout).toMatch(/^pictures: 2, .*\n {2}flat +1\n {2}steep +1\n {2}none +1\ncopied to sorted: 2\n/);
  const files = (await readdir(join(root, 'sorted'), { recursive: true })).filter((name) => name.endsWith('.png'));
  expect(files.sort()).toEqual([join('flat', '2.png'), join('none', '3.png'), join('steep', '2.png')]);
  const { stdout: embedded } = await run('embed', 'labels.csv', ...model, '--store', 'of-labels', '--json');
  expect(JSON.parse(embedded)).toMatchObject({ total: 2, labels: { flat: 1, steep: 1, '': 1 } });
});

test('train-head shows how mAP grows with the pictures, beside what can be had without training', async () => {
  const { code, stdout } = await run('train-head', '--learning-curve', '--out', 'other.safetensors');
  expect(code).toBe(0);
  expect(stdout).toMatch(/\n {2}temperature [\d.]+: calibration error [\d.]+ % without, [\d.]+ % with it\n/);
  // Half of the pictures have either label.
  expect(stdout).toMatch(
    /for comparison, without training: mAP of 10 nearest neighbours [\d.]+ %, of chance 50\.0 %\n/,
  );
  expect(stdout).toMatch(/\n {2}share +pictures +mAP\n {2}10 % +\d+ +[\d.]+ %\n/);
  expect(stdout).toMatch(/\n {2}100 % +26 +[\d.]+ %/);
});

test('what is of pictures of one class each is refused', async () => {
  const weights = await run('train-head', '--class-weights', 'balanced');
  expect(weights.code).toBe(2);
  expect(weights.stderr).toMatch(/Class weights are for pictures of one class each.*column weight/);
  const unknown = await run('train-head', '--unknown', '0.1');
  expect(unknown.code).toBe(2);
  expect(unknown.stderr).toMatch(
    /a rate of unknown pictures \(--unknown\), but a picture that shows none of its labels gets none/,
  );
  const predict = await run('predict', '--head', 'head.safetensors', ...model, '--unknown', '0.1', '0.png');
  expect(predict.stderr).toMatch(/cannot call pictures unknown, as a multilabel head calls none so/);
  const topK = await run('evaluate', '--head', 'head.safetensors', ...model, '--top-k', '2', 'pictures.jsonl');
  expect(topK.code).toBe(2);
  expect(topK.stderr).toMatch(/--top-k is for heads with one class.*head\.safetensors is a multilabel head/);
});

test('a data set that mixes pictures of one class with lists of labels is refused', async () => {
  await writeManifest('mixed.jsonl', [
    { path: '0.png', labels: ['flat'] },
    { path: '1.png', label: 'steep' },
    { path: '2.png', label: 'flat' },
  ]);
  await run('embed', 'mixed.jsonl', ...model);
  const { code, stderr } = await run('train-head', '--dataset', 'mixed.jsonl');
  expect(code).toBe(1);
  expect(stderr).toMatch(/mixed\.jsonl mixes .*: 2 have a label and 1 have labels\./);
});
