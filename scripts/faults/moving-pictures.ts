import { copyFileSync, existsSync, renameSync, rmSync, truncateSync } from 'node:fs';
import { cp, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { openDataset } from '../../src/data/open.js';
import type { Random } from '../support/random.js';
import { checkClearFailure, momentIn, run } from './command.js';
import { checkAllRows, digestsIn } from './rows.js';
import { modelFlags, type Report, type Setting } from './scenario.js';

/**
 * Overwrites, truncates, renames and removes pictures, and removes a whole class, while embed is running. It must not crash, and
 * another run must store the rows of the pictures that are left.
 */
export async function movingPictures(setting: Setting): Promise<Report> {
  const { folder, rounds, random } = setting;
  let skipped = 0;
  for (let round = 1; round <= rounds; round++) {
    const pictures = join(folder, 'pictures');
    await rm(pictures, { recursive: true, force: true });
    await cp(setting.dataset, pictures, { recursive: true });
    const args = ['embed', pictures, ...modelFlags(setting), '--batch-size', '1', '--threads', '1'];
    const own = join(folder, `${round}`);
    await mkdir(own);
    const paths = await picturesIn(pictures);
    const moment = momentIn({ took: 6000, changes: 60 }, random);
    const disturbed = await run(args, {
      folder: own,
      at: { moment, act: disturb.bind(undefined, paths, random) },
    });
    // Without a whole class, the folder may have too few classes.
    if (disturbed.code === 1) checkClearFailure(disturbed, pictures);
    else if (disturbed.code === 3) skipped++;
    else if (disturbed.code !== 0) throw new Error(`embed ended with ${disturbed.code}: ${disturbed.stderr}`);
    for (const store of ['embeddings', 'fresh']) await finished([...args, '--store', store], own);
    checkAllRows(await digestsIn(join(own, 'embeddings')), await digestsIn(join(own, 'fresh')));
    await rm(own, { recursive: true });
    setting.onProgress?.(`${round} of ${rounds}`);
  }
  return {
    faults: rounds,
    seen: `${skipped} runs reported unreadable pictures; another run had all of them right`,
  };
}

/** @throws unless it exits with 0, or with 3 for the truncated pictures */
async function finished(args: readonly string[], folder: string): Promise<void> {
  const { code, stderr } = await run(args, { folder });
  if (code !== 0 && code !== 3) throw new Error(`embed ended with ${code}: ${stderr}`);
}

async function picturesIn(folder: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path } of (await openDataset(folder)).entries()) paths.push(path);
  return paths;
}

function disturb(paths: readonly string[], random: Random): void {
  for (const path of paths) {
    const chance = random.between(0, 1);
    if (!existsSync(path)) continue;
    if (chance < 0.05) rmSync(path);
    else if (chance < 0.1) renameSync(path, `${path}.moved.jpg`);
    else if (chance < 0.2) truncateSync(path, 500);
    else if (chance < 0.4) copyFileSync(paths.find((other) => existsSync(other) && random.chance(0.1)) ?? path, path);
  }
  const gone = dirname(random.pick(paths));
  rmSync(gone, { recursive: true, force: true });
}
