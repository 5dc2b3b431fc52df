import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Comparison } from '../../src/classify/compare.js';
import { lastlayer } from '../support/command-line.js';
import { stripedDataset, stripes, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const root = await temporaryFolder();
const data = join(root, 'data');

async function run(...args: string[]) {
  return lastlayer(args, root);
}

async function done(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...args);
  if (code !== 0) throw new Error(`${args.join(' ')} ends with ${code}: ${stderr}`);
  return stdout;
}

async function compared(...args: string[]): Promise<Comparison & { verdict: string }> {
  return JSON.parse(await done('compare', ...args, '--json')) as Comparison & { verdict: string };
}

let paths: string[] = [];

beforeAll(async () => {
  for (const [i, name] of ['one', 'two'].entries()) {
    await writeFile(join(root, `${name}.onnx`), smallNetwork(1, { width: 8 - 5 * i }));
    await done('fetch-model', '--from', `${name}.onnx`, '--name', name);
  }
  paths = await stripedDataset(data, {
    train: { flat: 12, steep: 12, slanted: 12 },
    val: { flat: 10, steep: 10, slanted: 10 },
  });
  // As they would be before somebody looks at them: two thirds of the labels are wrong.
  const rows = paths.map((path, i) => {
    const [split = '', label = ''] = path.split('/').slice(-3);
    return [
      path,
      split === 'train' && i % 3 > 0 ? { flat: 'steep', steep: 'slanted', slanted: 'flat' }[label] : label,
      split,
    ];
  });
  await writeFile(join(root, 'wrong.csv'), [['path', 'label', 'split'], ...rows].map((row) => row.join()).join('\n'));
  await done('embed', 'wrong.csv', '--model', 'one');
  await done('train-head', '--out', 'wrong.safetensors');
  for (const name of ['two', 'one']) {
    await done('embed', data, '--model', name);
    await done('train-head', '--dataset', data, '--model', name, '--out', `${name}.safetensors`);
  }
});

test.each([
  ['other labels', 'wrong.safetensors', 'one.safetensors', []],
  ['other features', 'two.safetensors', 'one.safetensors', ['two.onnx']],
])('%s: the figures of both heads are those of evaluate, on the same pictures', async (_, a, b, models) => {
  const found = await compared(a, b, ...(models.length > 0 ? [data] : []));
  expect(found).toMatchObject({ dataset: data, split: 'val', count: 30, trainedOn: 0, errors: [] });
  for (const [side, head] of [
    ['a', a],
    ['b', b],
  ] as const) {
    const { metrics } = JSON.parse(await done('evaluate', '--head', head, data, '--json')) as {
      metrics: { accuracy: number; accuracyInterval: number[]; logLoss: number };
    };
    expect(found[side].accuracy).toBeCloseTo(metrics.accuracy, 12);
    expect(found[side].accuracyInterval).toEqual(metrics.accuracyInterval);
    expect(found[side].logLoss).toBeCloseTo(metrics.logLoss, 12);
  }
  const { difference, fixed, broken, changed } = found;
  expect(difference.accuracy).toBeCloseTo(found.b.accuracy - found.a.accuracy, 12);
  expect((fixed - broken) / 30).toBeCloseTo(difference.accuracy, 12);
  expect(changed.filter(({ change }) => change === 'fixed')).toHaveLength(fixed);
  for (const { path, change, labels, a: before, b: after } of changed) {
    const truth = path.split('/').at(-2) ?? '';
    expect(labels).toEqual([truth]);
    expect(change).toBe(after.labels[0] === truth ? 'fixed' : before.labels[0] === truth ? 'broken' : 'other');
  }
});

test('correct labels are told to help, in words, with the pictures', async () => {
  const { stdout, stderr } = await run('compare', 'wrong.safetensors', 'one.safetensors', '--show', '2');
  expect(stderr).toMatch(
    /Comparing on the data set that was embedded last, .*data\. To compare on another, name it: .*wrong\.csv/,
  );
  expect(stdout).toMatch(/^B is clearly better: of the \d+ pictures that just one of the two gets right, B gets \d+/);
  expect(stdout).toMatch(/\n {2}val\/\w+\/\d\.png: \w+; A \w+ [\d.]+ %, B \w+ [\d.]+ %\n {2}val.*\n {2}… and \d+ more/);
  expect(await done('compare', 'one.safetensors', 'wrong.safetensors')).toMatch(/^B is clearly worse/);
  expect(await done('compare', 'one.safetensors', 'one.safetensors')).toMatch(/^No difference in accuracy: both heads/);
});

test('pictures that a head was trained on are left out, wherever they lie, and none left is an error', async () => {
  const folder = join(root, 'mixed');
  for (const [i, label] of ['flat', 'steep'].entries()) {
    await mkdir(join(folder, label), { recursive: true });
    await copyFile(join(data, 'train', label, '3.png'), join(folder, label, 'copy.png'));
    await writeFile(join(folder, label, 'new.png'), await stripes(90 * (1 - i), 900 + i));
  }
  const { stderr, stdout } = await run('compare', 'two.safetensors', 'one.safetensors', folder, '--json');
  expect(JSON.parse(stdout)).toMatchObject({ count: 2, trainedOn: 2, a: { trainedOn: 2 }, b: { trainedOn: 2 } });
  expect(stderr).toMatch(/2 pictures of .*mixed left out: two\.safetensors or one\.safetensors was trained/);
  expect(await run('compare', 'two.safetensors', 'one.safetensors', data, '--split', 'train')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /nothing to compare on in the split train of .*: 36 pictures that .* --hold-out 0\.2/,
    ) as string,
  });
});

test('classes that only one head knows are left out and told; heads of different kinds are refused', async () => {
  await done('embed', join(data, 'train'), '--model', 'one', '--store', 'few');
  const rows = paths.flatMap((path) => {
    const [split = '', label = ''] = path.split('/').slice(-3);
    return split === 'train' && label !== 'slanted' ? [{ path, label }] : [];
  });
  await writeFile(join(root, 'few.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
  await writeFile(
    join(root, 'lists.jsonl'),
    rows.map(({ path, label }) => JSON.stringify({ path, labels: [label] })).join('\n'),
  );
  for (const name of ['few', 'lists']) {
    await done('embed', `${name}.jsonl`, '--model', 'one', '--store', name);
    await done('train-head', '--store', name, '--out', `${name}.safetensors`);
  }
  expect(await compared('few.safetensors', 'one.safetensors', data)).toMatchObject({
    count: 20,
    unknown: [{ label: 'slanted', count: 10 }],
  });
  expect(await run('compare', 'lists.safetensors', 'one.safetensors', data)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /lists\.safetensors is a multilabel head and one\.safetensors a softmax head/,
    ) as string,
  });
});

test('heads of any number of labels are compared by whether all labels are right', async () => {
  const rows = paths.map((path, i) => {
    const [split = '', label = ''] = path.split('/').slice(-3);
    return { path, split, labels: i % 9 === 0 ? [] : label === 'slanted' ? ['flat', 'steep'] : [label] };
  });
  await writeFile(join(root, 'sets.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
  for (const name of ['one', 'two']) {
    await done('embed', 'sets.jsonl', '--model', name, '--store', 'sets');
    await done('train-head', '--store', 'sets', '--model', name, '--out', `sets-${name}.safetensors`);
  }
  const found = await compared('sets-one.safetensors', 'sets-two.safetensors', '--store', 'sets');
  expect(found).toMatchObject({ kind: 'multilabel', count: 30, split: 'val' });
  for (const [side, name] of [
    ['a', 'one'],
    ['b', 'two'],
  ] as const) {
    const { metrics } = JSON.parse(
      await done('evaluate', '--head', `sets-${name}.safetensors`, 'sets.jsonl', '--store', 'sets', '--json'),
    ) as { metrics: { subsetAccuracy: number; logLoss: number } };
    expect(found[side].accuracy).toBeCloseTo(metrics.subsetAccuracy, 12);
    expect(found[side].logLoss).toBeCloseTo(metrics.logLoss, 10);
  }
});
