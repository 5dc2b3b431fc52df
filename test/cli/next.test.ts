import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { lastlayer } from '../support/command-line.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const root = await temporaryFolder();
const model = ['--model', 'small.onnx'];
const STORE = 'the store';
const HEAD = "ann's.safetensors";

beforeAll(async () => {
  await writeFile(join(root, 'small.onnx'), smallNetwork());
  await stripedDataset(join(root, 'data'), { '.': { flat: 12, steep: 12 } });
  await stripedDataset(join(root, 'plain'), { '.': { '.': 4 } });
});

/** Runs a command and returns the ones that it names at its end, split by a shell. */
async function nextAfter(...args: string[]): Promise<string[][]> {
  const { code, stderr } = await lastlayer(args, root);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const lines = stderr.trimEnd().split('\n');
  expect(lines.filter((line) => line.startsWith('Next: '))).toEqual([lines.at(-1)]);
  return [...(lines.at(-1) ?? '').matchAll(/`npm run ([^`]+)`/g)].map(([, command = '']) =>
    execFileSync('sh', ['-c', `printf '%s\\n' ${command.replace(' -- ', ' ')}`], { encoding: 'utf8' })
      .trimEnd()
      .split('\n'),
  );
}

test('each command names the next one, with the options that lead from the one to the other', async () => {
  const [train = []] = await nextAfter('embed', 'data', '--store', STORE, ...model);
  expect(train).toEqual(['train-head', '--store', STORE]);
  const [predict = [], report = []] = await nextAfter(...train, '--folds', '0', '--out', HEAD);
  expect(predict).toEqual(['predict', '--head', HEAD, 'PICTURES']);
  const picture = join('data', 'flat', '0.png');
  const { code } = await lastlayer([...predict.map((word) => (word === 'PICTURES' ? picture : word)), ...model], root);
  expect(code).toBe(0);
  expect(report).toEqual(['report', '--head', HEAD, '--store', STORE]);
  expect(await nextAfter(...report)).toEqual([['serve', '--head', HEAD]]);
  expect(await nextAfter('evaluate', 'data', '--head', HEAD, ...model)).toEqual([
    ['predict', '--head', HEAD, ...model, 'PICTURES'],
    ['serve', '--head', HEAD, ...model],
  ]);
});

test('check-data leads to a manifest, and that to embed', async () => {
  const [write = []] = await nextAfter('check-data', '--store', STORE);
  expect(write).toEqual(['check-data', '--store', STORE, '--out', 'checked.csv']);
  const [embed = []] = await nextAfter(...write);
  expect(embed).toEqual(['embed', 'checked.csv', '--store', STORE]);
  await nextAfter(...embed, ...model);
});

test('pictures without labels can be searched', async () => {
  expect(await nextAfter('embed', 'plain', '--store', 'plain-store', ...model)).toEqual([
    ['search', 'PICTURE', '--store', 'plain-store'],
  ]);
});

test('--json names none', async () => {
  expect((await lastlayer(['embed', 'data', '--store', STORE, ...model, '--json'], root)).stderr).not.toContain(
    'Next:',
  );
});

test('none is named where no picture could be read', async () => {
  const { code, stderr } = await lastlayer(['predict', 'nothing.jpg', '--head', HEAD, ...model], root);
  expect(code).toBe(3);
  expect(stderr).toContain('nothing.jpg cannot be read');
  expect(stderr).not.toContain('Next:');
});
