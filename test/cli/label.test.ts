import { once } from 'node:events';
import { readdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadHead } from '../../src/head/file.js';
import { lastlayer, lastlayerProcess } from '../support/command-line.js';
import { temporaryFolder } from '../support/files.js';
import { rowsOf, unlabelledPictures } from '../support/labelling.js';
import { smallNetwork } from '../support/small-network.js';

const folder = await temporaryFolder();
const photos = join(folder, 'photos');
await unlabelledPictures(photos, 3);
await writeFile(join(folder, 'small.onnx'), smallNetwork());
const model = ['--model', 'small.onnx'];

test('Ctrl-C saves the manifest and the head, and says what to run next; the labels can be put into folders', async () => {
  const args = ['label', 'photos', '--labels', 'flat,steep', '--port', '0', ...model];
  const { process: child, outcome } = lastlayerProcess(args, folder);
  const [line] = (await once(child.stdout ?? child, 'data')) as [Buffer];
  const { origin, searchParams } = new URL(line.toString().trim());
  const headers = { 'X-Token': searchParams.get('token') ?? '', 'Content-Type': 'application/json' };
  for (const [i, label] of ['flat', 'slanted', 'steep'].entries()) {
    const action = { kind: 'label', pictures: [3 * i, 3 * i + 1], label };
    const body = JSON.stringify({ id: label, action });
    expect((await fetch(`${origin}/api/actions`, { method: 'POST', headers, body })).status).toBe(200);
  }
  child.kill('SIGINT');
  const { code, stderr } = await outcome;
  expect(code).toBe(0);
  expect(stderr).toMatch(/The labels are in .*photos\.labels\.csv\nThe head is in .*head\.safetensors/);
  expect(stderr).toMatch(
    /Next: `npm run predict -- PICTURES` classifies pictures, and `npm run label -- .*photos\.labels\.csv` goes on/,
  );
  expect((await rowsOf(join(folder, 'photos.labels.csv'))).filter(({ label }) => label !== undefined)).toHaveLength(6);
  expect((await loadHead(join(folder, 'head.safetensors'))).labels).toEqual(['flat', 'slanted', 'steep']);
  expect((await readdir(folder)).filter((name) => name.endsWith('.lock'))).toEqual([]);

  const copied = await lastlayer(['label', 'photos', '--apply', 'copy', 'sorted', ...model], folder);
  expect(copied).toMatchObject({ code: 0, stdout: `copied to ${join(folder, 'sorted')}: 6\n` });
  expect(await readFile(join(folder, 'sorted', 'flat', 'flat-1.png'))).toEqual(
    await readFile(join(photos, 'flat-1.png')),
  );
  const linked = await lastlayer(
    ['label', 'photos.labels.csv', '--apply', 'link', 'links', '--json', ...model],
    folder,
  );
  expect(JSON.parse(linked.stdout)).toMatchObject({ placed: 6, present: 0, missing: [], dataset: photos });
  expect(await readlink(join(folder, 'links', 'steep', 'steep-0.png'))).toBe(join(photos, 'steep-0.png'));
  expect(await readdir(photos)).toHaveLength(9);
});

test.each([
  [['photos', 'sorted'], 2, /There is a second folder, sorted/],
  [['photos', '--apply', 'copy'], 2, /With --apply, name a folder/],
  [['photos', '--apply', 'copy', 'photos/sorted', ...model], 2, /lies in the data set/],
  [['photos', '--out', 'labels.txt'], 2, /ends in \.csv/],
  [['photos', '--out', 'photos/labels.csv'], 2, /in the data set's own folder/],
  [['photos', '--labels', 'ant,,bee'], 2, /names separated by commas/],
  [['nothing'], 1, /There is no data set at .*nothing/],
])('%j is refused', async (args, code, reason) => {
  const outcome = await lastlayer(['label', ...args], folder);
  expect(outcome).toMatchObject({ code, stderr: expect.stringMatching(reason) as string });
});
