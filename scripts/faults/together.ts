import { join } from 'node:path';
import { run, runWhole } from './command.js';
import { checkAllRows, digestsIn } from './rows.js';
import { modelFlags, type Report, type Setting } from './scenario.js';

/** Runs embed twice at once on one store, then beside train-head. All must succeed, with one row per picture. */
export async function together(setting: Setting): Promise<Report> {
  const { folder, dataset, rounds, random } = setting;
  const args = (store: string) => [
    'embed',
    dataset,
    ...modelFlags(setting),
    '--store',
    store,
    '--threads',
    '1',
    ...(random.chance(0.5) ? ['--batch-size', '1', '--concurrency', '2'] : []),
  ];
  await runWhole(args('undisturbed'), folder);
  const expected = await digestsIn(join(folder, 'undisturbed'));
  for (let round = 1; round <= rounds; round++) {
    const store = `store-${round}`;
    await allSucceed([args(store), args(store)], folder);
    checkAllRows(await digestsIn(join(folder, store)), expected);
    await allSucceed(
      [
        [...args(store), '--views', 'flip'],
        ['train-head', '--store', store, '--folds', '0'],
      ],
      folder,
    );
    setting.onProgress?.(`${round} of ${rounds}`);
  }
  return { faults: 2 * rounds, seen: 'both succeeded each time, with one row per picture' };
}

async function allSucceed(commands: readonly (readonly string[])[], folder: string): Promise<void> {
  const ended = await Promise.all(commands.map((args) => run(args, { folder })));
  for (const { code, stderr } of ended) {
    if (code !== 0) throw new Error(`One of two concurrent commands ended with ${code}: ${stderr}`);
  }
}
