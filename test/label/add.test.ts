import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openDataset } from '../../src/data/open.js';
import { folderForNew, saveNew } from '../../src/label/add.js';
import { stripes, temporaryFolder } from '../support/files.js';

const root = await temporaryFolder();
const picture = await stripes(0, 1);

/** A folder of pictures. */
async function folderOf(name: string, ...files: string[]): Promise<string> {
  for (const file of files) {
    const path = join(root, name, file);
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, picture);
  }
  return join(root, name);
}

/** What `embed` says of the new picture of a data set. */
async function listed(dataset: string, label: string | undefined) {
  const saved = await saveNew(await folderForNew(dataset, label), { name: 'new.png', bytes: picture });
  const path = 'path' in saved ? saved.path : '';
  for await (const entry of (await openDataset(dataset)).entries()) {
    if (entry.path === path) return { label: entry.label, split: entry.split };
  }
  return undefined;
}

test.each([
  ['class folders', ['ant/1.png', 'bee/1.png'], undefined],
  ['nested class folders', ['ant/a/1.png', 'bee/b/1.png'], undefined],
  ['splits', ['train/ant/1.png', 'train/bee/1.png', 'val/ant/2.png'], 'train'],
  ['splits of other names', ['Training/ant/1.png', 'test/ant/2.png'], 'train'],
  ['flat', ['1.png', '2.png'], undefined],
])('embed finds a picture that was added where it belongs: %s', async (name, files, split) => {
  const dataset = await folderOf(name, ...files);
  expect(await listed(dataset, 'ant')).toEqual({ label: 'ant', split });
  expect(await listed(dataset, 'wasp')).toEqual({ label: 'wasp', split });
  const unlabelled = await listed(dataset, undefined);
  expect(unlabelled).toBeDefined();
  expect(unlabelled?.label).toBeUndefined();
});

test('a class whose name cannot be that of a folder does not become another class', async () => {
  const dataset = await folderOf('odd names', 'ant/1.png');
  for (const label of ['a/b', 'test', '.hidden', 'c:d', '..']) {
    expect((await listed(dataset, label))?.label).toBeUndefined();
  }
  expect((await readdir(dataset)).sort()).toEqual([
    'ant',
    'new (2).png',
    'new (3).png',
    'new (4).png',
    'new (5).png',
    'new.png',
  ]);
});

test('an accented class goes into the folder that is there, however that writes the accent', async () => {
  const dataset = await folderOf('accents', `${'abeillé'.normalize('NFD')}/1.png`);
  expect(await folderForNew(dataset, 'abeillé')).toBe(join(dataset, 'abeillé'.normalize('NFD')));
});

test('pictures for a manifest go beside it', async () => {
  const dataset = join(root, 'photos.csv');
  await writeFile(dataset, 'path\n');
  expect(await folderForNew(dataset, 'ant')).toBe(join(root, 'photos.added', 'ant'));
  expect(await folderForNew(dataset, undefined)).toBe(join(root, 'photos.added'));
});
