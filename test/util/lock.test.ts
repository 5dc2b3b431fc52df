import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { temporaryName } from '../../src/util/files.js';
import { FileLock } from '../../src/util/lock.js';
import { temporaryFolder } from '../support/files.js';

const folder = await temporaryFolder();
const file = join(folder, 'photos.csv');

test('a lock is held by one at a time, and tells who holds it', async () => {
  const lock = await FileLock.take(file);
  if (!(lock instanceof FileLock)) throw new Error('It is taken.');
  await lock.note('http://127.0.0.1:8081');
  expect(await FileLock.take(file)).toEqual({ heldBy: { path: lock.path, note: 'http://127.0.0.1:8081' } });
  expect(await readdir(folder)).toHaveLength(1);
  await lock.release();
  const next = await FileLock.take(file);
  expect(next).toBeInstanceOf(FileLock);
  await (next as FileLock).release();
  expect(await readdir(folder)).toEqual([]);
});

test('the lock of a process that was killed is removed', async () => {
  const { pid } = spawnSync(process.execPath, ['-e', '']);
  await writeFile(temporaryName(file, 'lock').replace(`-${process.pid}-`, `-${pid}-`), 'http://127.0.0.1:1');
  const lock = await FileLock.take(file);
  expect(lock).toBeInstanceOf(FileLock);
  expect(await readdir(folder)).toHaveLength(1);
  await (lock as FileLock).release();
});

test('the lock of a process of another machine is not taken away, even if it has the same number', async () => {
  const other = temporaryName(file, 'lock').replace(/\.[0-9a-f]{6}-/, '.000000-');
  await writeFile(other, 'http://127.0.0.1:1');
  expect(await FileLock.take(file)).toEqual({ heldBy: { path: other, note: 'http://127.0.0.1:1' } });
  expect(await readdir(folder)).toHaveLength(1);
});
