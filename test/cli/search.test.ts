import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { lastlayer, lastlayerProcess } from '../support/command-line.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const root = await temporaryFolder();
const data = join(root, 'data');
const model = ['--model', 'small.onnx'];

async function run(...args: string[]) {
  return lastlayer(args, root);
}

beforeAll(async () => {
  await writeFile(join(root, 'small.onnx'), smallNetwork());
  await stripedDataset(data, { '.': { flat: 6, steep: 6 } });
  expect((await run('embed', data, ...model)).code).toBe(0);
});

test('the picture itself is found first, with cosine 1, and the others in descending order', async () => {
  const picture = join(data, 'flat', '3.png');
  const args = ['search', picture, ...model, '--top-k', '12', '--json'];
  const { code, stdout } = await lastlayerProcess(args, root).outcome;
  expect(code).toBe(0);
  const { similar } = JSON.parse(stdout) as {
    similar: { path: string; label: string; similarity: number }[];
  };
  expect(similar).toHaveLength(12);
  expect(similar[0]).toMatchObject({
    path: picture,
    label: 'flat',
    similarity: expect.closeTo(1, 5) as number,
  });
  const cosines = similar.map(({ similarity }) => similarity);
  expect(cosines).toEqual([...cosines].sort((a, b) => b - a));
});

test('a resized copy is found to be the most similar to its original', async () => {
  await sharp(join(data, 'steep', '2.png'))
    .resize(160)
    .png()
    .toFile(join(root, 'copy.png'));
  const { stdout } = await run('search', 'copy.png', ...model, '--top-k', '1');
  expect(stdout).toMatch(/^picture +label +split +cosine\n.*steep\/2\.png +steep +\d\.\d{3}\n$/);
});

test('a file that is no picture, and a network that embedded nothing, are told of', async () => {
  await writeFile(join(root, 'no.jpg'), 'no picture');
  await writeFile(join(root, 'other.onnx'), smallNetwork(2));
  expect(await run('search', 'no.jpg', ...model)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/no\.jpg is no readable picture/) as string,
  });
  expect(await run('search', 'copy.png', '--model', 'other.onnx')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/was embedded by .*, not by /) as string,
  });
});
