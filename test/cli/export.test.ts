import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lastlayer, lastlayerProcess } from '../support/command-line.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const NEXT = '\nNext: docs/export.md says how other programs read it.\n';
const root = await temporaryFolder();
const data = join(root, 'data');
const model = ['--model', 'small.onnx'];

async function run(...args: string[]) {
  return lastlayer(args, root);
}

beforeAll(async () => {
  await writeFile(join(root, 'small.onnx'), smallNetwork());
  await stripedDataset(data, { train: { flat: 12, steep: 12 }, val: { flat: 4, steep: 4 } });
  expect((await run('embed', data, ...model)).code).toBe(0);
  expect((await run('train-head')).code).toBe(0);
});

test('a network is written and checked on the validation pictures of what was embedded last', async () => {
  const { code, stdout, stderr } = await lastlayerProcess(['export', ...model], root).outcome;
  expect({ code, stderr }).toEqual({ code: 0, stderr: NEXT });
  expect(stdout).toMatch(
    /classifier\.onnx: network@\w+ with a head of 2 classes, 0\.0 MB\n {2}input +uint8 \[batch, height, width, 3\]/,
  );
  expect(stdout).toMatch(/checked {2}on 8 pictures of .*data: predict's class for 8 of 8, probabilities within /);
  expect(existsSync(join(root, 'classifier.onnx'))).toBe(true);
  const json = await run(
    'export',
    ...model,
    '--input',
    'tensor',
    '--pictures',
    '3',
    '--check',
    join(data, 'train'),
    '--json',
  );
  expect(JSON.parse(json.stdout)).toMatchObject({
    ...{ path: join(root, 'classifier.onnx'), input: 'tensor', checkedOn: join(data, 'train') },
    check: { pictures: 3, sameTop: 3 },
  });
});

test('the layer and the embeddings are written where no file is named, and told of', async () => {
  const layer = await run('export', '--format', 'safetensors', '--calibrated');
  expect(layer).toMatchObject({ code: 0, stderr: NEXT });
  expect(layer.stdout).toMatch(/fc\.safetensors: fc\.weight \[2, 8\] and fc\.bias \[2\] for network@\w+\n.*folded in/);
  for (const format of ['npy', 'parquet', 'json']) {
    const { code, stdout } = await run('export', '--format', format, '--head', 'head.safetensors');
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: expect.stringMatching(
        /embeddings\.\w+(, .*embeddings\.csv)?: \[32, 8\] by network@\w+, of .*data\n$/,
      ) as string,
    });
    expect(existsSync(join(root, `embeddings.${format}`))).toBe(true);
  }
  const json = await run('export', '--format', 'npy', '--out', 'deep/x.npy', '--dataset', data, '--json');
  expect(JSON.parse(json.stdout)).toMatchObject({
    ...{
      paths: [join(root, 'deep', 'x.npy'), join(root, 'deep', 'x.csv')],
      rows: 32,
      width: 8,
      dataset: data,
      failed: 0,
    },
  });
});

test('another backbone than the head’s, a head that is not there and an unknown format are refused', async () => {
  await writeFile(join(root, 'other.onnx'), smallNetwork(2));
  const refused = [
    [
      ['--model', 'other.onnx'],
      1,
      /The head was trained on embeddings of network@\w+, but the backbone in use is network@/,
    ],
    [
      ['--head', 'none.safetensors'],
      1,
      /no head none\.safetensors yet. Run `npm run train-head -- --out none\.safetensors`/,
    ],
    [['--format', 'json', '--input', 'tensor'], 2, /--input does not apply to json, only to onnx/],
    [['--format', 'json', '--model', 'none'], 1, /was embedded by network@\w+, not by none/],
    [['--format', 'csv'], 2, /Allowed choices are onnx/],
  ] as const;
  for (const [args, code, stderr] of refused) {
    expect(await run('export', '--out', 'no.onnx', ...args)).toMatchObject({
      code,
      stderr: expect.stringMatching(stderr) as string,
    });
  }
  expect(existsSync(join(root, 'no.onnx'))).toBe(false);
});
