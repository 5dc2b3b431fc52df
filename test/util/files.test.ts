import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeWholeFile, writeWholeFiles } from '../../src/util/files.js';
import { ROOT, temporaryFolder } from '../support/files.js';

const root = await temporaryFolder();

async function newFolder(name: string): Promise<string> {
  const folder = join(root, name);
  await mkdir(folder);
  return folder;
}

/**
 * Writes 300 kB in a process that may make no file larger than 100 kB: as on a full disk, a part of it is written, which is no error
 * yet, and no more after that.
 */
function writeTooMuch(path: string): string {
  const script = `
    import { writeWholeFile } from ${JSON.stringify(join(ROOT, 'src', 'util', 'files.ts'))};
    await writeWholeFile(${JSON.stringify(path)}, Buffer.alloc(300_000)).then(
      () => process.stdout.write('written'),
      ({ code }) => process.stdout.write(code),
    );`;
  const node = `"${process.execPath}" --import tsx --input-type=module -e "$SCRIPT"`;
  const { stdout } = spawnSync('bash', ['-c', `trap '' XFSZ; ulimit -f 100; exec ${node}`], {
    cwd: ROOT,
    env: { ...process.env, NODE_OPTIONS: '', SCRIPT: script, TSX_DISABLE_CACHE: '1' },
  });
  return stdout.toString();
}

describe('a file that is written whole', () => {
  it('takes the place of the old one, with its permissions, and leaves nothing beside it', async () => {
    const folder = await newFolder('plain');
    const path = join(folder, 'file');
    await writeFile(path, 'old');
    await chmod(path, 0o640);
    await writeWholeFile(path, 'new');
    expect(await readFile(path, 'utf8')).toBe('new');
    expect((await stat(path)).mode & 0o777).toBe(0o640);
    expect(await readdir(folder)).toEqual(['file']);
  });

  it('replaces the file that a link leads to', async () => {
    const folder = await newFolder('link');
    await writeFile(join(folder, 'file'), 'old');
    await symlink('file', join(folder, 'link'));
    await writeWholeFile(join(folder, 'link'), 'new');
    expect(await readFile(join(folder, 'file'), 'utf8')).toBe('new');
    expect((await readdir(folder)).sort()).toEqual(['file', 'link']);
  });

  (process.platform === 'win32' ? it.skip : it)('leaves the old one where the disk is full', async () => {
    const folder = await newFolder('full');
    const path = join(folder, 'file');
    await writeFile(path, 'old');
    expect(writeTooMuch(path)).toBe('EFBIG');
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['file']);
  });
});

describe('files that are written together', () => {
  it('are all as they were where one cannot be made', async () => {
    const folder = await newFolder('together');
    await writeFile(join(folder, 'a'), 'old');
    const written = writeWholeFiles([
      { path: join(folder, 'a'), content: 'new' },
      { path: join(folder, 'b'), content: () => Promise.reject(new Error('no rows')) },
    ]);
    await expect(written).rejects.toThrow('no rows');
    expect(await readFile(join(folder, 'a'), 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(['a']);
  });
});

describe('what a killed process left', () => {
  it('is removed by the next one, and what others are writing is not', async () => {
    const folder = await newFolder('killed');
    const path = join(folder, 'file');
    const leave = (pid: number | undefined) => {
      const { pid: ended } = spawnSync(process.execPath, ['-e', '']);
      return writeWholeFile(path, async (temporary) => {
        await writeFile(temporary, '');
        // Of another process that has ended, and of one that is there.
        await writeFile(temporary.replace(`-${process.pid}-`, `-${pid ?? ended}-`), '');
      });
    };
    await leave(undefined);
    await leave(process.ppid);
    const left = await readdir(folder);
    expect(left).toHaveLength(2);
    expect(left.some((name) => name.includes(`-${process.ppid}-`))).toBe(true);
    await writeFile(join(folder, 'file.0123abcd.part'), 'a download that goes on');
    await writeWholeFile(path, 'new');
    expect((await readdir(folder)).sort()).toEqual([...left, 'file.0123abcd.part'].sort());
  });
});
