import { existsSync, renameSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { checkClearFailure, momentIn, run, runWhole } from './command.js';
import { Disk } from './disk.js';
import { checkAllRows, digestsIn } from './rows.js';
import { modelFlags, type Report, type Setting } from './scenario.js';

/** Embeds into a read-only store, which must fail with a clear message, and trains from it, which must work. */
export async function readOnlyStore(setting: Setting): Promise<Report> {
  const { folder } = setting;
  const disk = await Disk.mount(join(folder, 'disk'), 64);
  try {
    const store = join(disk.folder, 'store');
    const args = ['embed', setting.dataset, '--store', store, ...modelFlags(setting)];
    disk.setReadOnly(true);
    checkClearFailure(await run(args, { folder }), store);
    disk.setReadOnly(false);
    await runWhole(args, folder);
    disk.setReadOnly(true);
    checkClearFailure(await run(args, { folder }), store);
    await runWhole(['train-head', '--store', store], folder);
    return { faults: 2, seen: 'embed reported it, with and without an existing store; train-head read it' };
  } finally {
    disk.unmount();
  }
}

/** Moves the store away while embed is running. It must fail with a clear message or finish, and another run must complete it. */
export async function deletedStore(setting: Setting): Promise<Report> {
  const { folder, rounds, random } = setting;
  const pictures = join(folder, 'pictures');
  await cp(setting.dataset, pictures, { recursive: true });
  const args = ['embed', pictures, ...modelFlags(setting), '--batch-size', '1', '--threads', '1'];
  const whole = await runWhole(args, folder);
  const [store, gone] = [join(folder, 'embeddings'), join(folder, 'gone')];
  const expected = await digestsIn(store);
  let failed = 0;
  for (let round = 1; round <= rounds; round++) {
    await rm(store, { recursive: true, force: true });
    const moment = momentIn(whole, random);
    await rm(gone, { recursive: true, force: true });
    const act = () => {
      if (existsSync(store)) renameSync(store, gone);
    };
    const tried = await run(args, { folder, at: { moment, act } });
    if (tried.code !== 0) {
      checkClearFailure(tried, store);
      failed++;
    }
    await runWhole(args, folder);
    checkAllRows(await digestsIn(store), expected);
    setting.onProgress?.(`${round} of ${rounds} deleted`);
  }
  return {
    faults: rounds,
    seen: `embed failed with the reason ${failed} times; another run completed all of them`,
  };
}
