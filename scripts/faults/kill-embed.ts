import { cp, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openDataset } from '../../src/data/open.js';
import type { Random } from '../support/random.js';
import { momentIn, run, runWhole } from './command.js';
import { checkAllRows, checkRows, digestsIn } from './rows.js';
import { modelFlags, type Report, type Setting } from './scenario.js';

/** The smallest blocks make many writes, between which it can be killed. */
const SLOW = ['--batch-size', '1', '--concurrency', '2', '--threads', '1'];

/**
 * Kills `embed` again and again until it finishes, then changes the pictures and continues with the same store. Starts over
 * until there were enough kills. After each kill, the store must open, without duplicate rows of a view of a picture. For
 * new pictures, every row must equal that of an undisturbed run, and no earlier row may be missing. At the end, all rows must
 * equal those of an undisturbed run.
 */
export async function killEmbed(setting: Setting): Promise<Report> {
  const { folder, rounds, random } = setting;
  let [faults, finished, rows] = [0, 0, 0];
  for (let store = 0; faults < rounds; store++) {
    const pictures = join(folder, `pictures-${store}`);
    await cp(setting.dataset, pictures, { recursive: true, preserveTimestamps: true });
    const flags = [...(store % 2 === 0 ? SLOW : []), ...(store % 3 === 2 ? ['--views', 'flip'] : [])];
    const args = ['embed', pictures, ...modelFlags(setting), ...flags];
    for (const phase of ['new', 'changed'] as const) {
      if (phase === 'changed') await changePictures(pictures, random);
      const done = await killUntilDone(join(folder, `${store}`), args, phase, random);
      faults += done.kills;
      rows += done.rows;
      finished++;
      setting.onProgress?.(`${faults} of ${rounds} kills, ${finished} data sets done`);
    }
    await rm(pictures, { recursive: true });
    await rm(join(folder, `${store}`), { recursive: true });
  }
  return { faults, seen: `${finished} data sets finished, ${rows} rows compared` };
}

/** @returns the number of rows that were compared at the end */
async function killUntilDone(
  folder: string,
  args: readonly string[],
  phase: 'new' | 'changed',
  random: Random,
): Promise<{ kills: number; rows: number }> {
  const [killed, undisturbed] = [join(folder, 'killed'), join(folder, phase)];
  await mkdir(killed, { recursive: true });
  await mkdir(undisturbed, { recursive: true });
  const whole = await runWhole(args, undisturbed);
  const expected = await digestsIn(join(undisturbed, 'embeddings'));
  let before = 0;
  for (let kills = 0; ; kills++) {
    const { code, stderr } = await run(args, { folder: killed, kill: momentIn(whole, random) });
    const found = await digestsIn(join(killed, 'embeddings'));
    if (code === 0) {
      checkAllRows(found, expected);
      return { kills, rows: found.size };
    }
    if (code !== null) throw new Error(`embed ended with ${code} after a kill: ${stderr}`);
    if (phase === 'new') {
      checkRows(found, expected);
      if (found.size < before) throw new Error(`Only ${found.size} of ${before} rows are left after a kill.`);
      before = found.size;
    }
  }
}

/** Removes some pictures, renames some, and overwrites some with others. */
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
    const path = random.pick(paths);
    if (await stat(path).catch(() => undefined)) return path;
  }
}
