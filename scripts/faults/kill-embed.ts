import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openDataset } from '../../src/data/open.js';
import type { Random } from '../examples/random.js';
import { run, runWhole } from './command.js';
import { momentIn } from './moment.js';
import { checkAllRows, checkRows, digestsIn } from './rows.js';
import { modelFlags, type Report, type Setting } from './scenario.js';

/** Blocks as small as they come make many writes, and so many moments to be killed at. */
const SLOW = ['--batch-size', '1', '--concurrency', '2', '--threads', '1'];

/**
 * Kills `embed` again and again until it is done, then changes the pictures and goes on with the same store, until there were so
 * many kills. After each of them the store opens, no picture has two rows of a view, no row of a picture is another than an
 * undisturbed run gives, and none that was there is gone; at the end all rows are those of an undisturbed run.
 */
export async function killEmbed(setting: Setting): Promise<Report> {
  const { folder, rounds, random } = setting;
  const counts = { faults: 0, finished: 0, rows: 0 };
  for (let store = 0; counts.faults < rounds; store++) {
    const pictures = join(folder, `pictures-${store}`);
    await cp(setting.dataset, pictures, { recursive: true, preserveTimestamps: true });
    const flags = [...(store % 2 === 0 ? SLOW : []), ...(store % 3 === 2 ? ['--views', 'flip'] : [])];
    const args = ['embed', pictures, ...modelFlags(setting), ...flags];
    for (const phase of ['new', 'changed'] as const) {
      if (phase === 'changed') await changePictures(pictures, random);
      counts.rows += await killUntilDone(
        { ...setting, folder: join(folder, `${store}`) },
        args,
        phase,
        counts,
      );
      counts.finished++;
      setting.onProgress?.(`${counts.faults} of ${rounds} kills, ${counts.finished} data sets done`);
    }
    await rm(pictures, { recursive: true });
    await rm(join(folder, `${store}`), { recursive: true });
  }
  return {
    faults: counts.faults,
    seen: `${counts.finished} data sets finished, ${counts.rows} rows compared`,
  };
}

/** @returns how many rows were compared at the end */
async function killUntilDone(
  { folder, random }: Setting,
  args: readonly string[],
  phase: string,
  counts: { faults: number },
): Promise<number> {
  const [killed, undisturbed] = [join(folder, 'killed'), join(folder, phase)];
  await mkdir(killed, { recursive: true });
  await mkdir(undisturbed, { recursive: true });
  const whole = await runWhole(args, undisturbed);
  const expected = await digestsIn(join(undisturbed, 'embeddings'));
  let before = 0;
  for (;;) {
    const { code, stderr } = await run(args, { folder: killed, kill: momentIn(whole, random) });
    const found = await digestsIn(join(killed, 'embeddings'));
    if (code === 0) {
      checkAllRows(found, expected);
      return found.size;
    }
    if (code !== null) throw new Error(`embed ended with ${code} after a kill: ${stderr}`);
    counts.faults++;
    if (phase === 'new') {
      checkRows(found, expected);
      if (found.size < before) throw new Error(`Of ${before} rows, ${found.size} are left after a kill.`);
      before = found.size;
    }
  }
}

/** Removes some pictures, moves some, and puts others in the place of some. */
async function changePictures(folder: string, random: Random): Promise<void> {
  const paths: string[] = [];
  for await (const { path } of (await openDataset(folder)).entries()) paths.push(path);
  for (const path of paths) {
    const chance = random.between(0, 1);
    if (chance < 0.05) await rm(path);
    else if (chance < 0.1) await rename(path, path.replace(/(\.\w+)$/, '-moved$1'));
    else if (chance < 0.3) await writeFile(path, await readFile(await anyOf(paths, random)));
  }
}

async function anyOf(paths: readonly string[], random: Random): Promise<string> {
  for (;;) {
    const path = paths[random.whole(0, paths.length - 1)] ?? '';
    if (await stat(path).catch(() => undefined)) return path;
  }
}

/** Names in a folder that are none of the expected ones. */
export async function leftOverIn(folder: string, expected: readonly string[]): Promise<string[]> {
  return (await readdir(folder)).filter((name) => !expected.includes(name));
}
