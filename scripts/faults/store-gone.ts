import { existsSync, renameSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run, runWhole } from './command.js';
import { Disk } from './disk.js';
import { checkClearFailure } from './failure.js';
import { momentIn } from './moment.js';
import { checkAllRows, digestsIn } from './rows.js';
import { modelFlags, type Report, type Setting } from './scenario.js';

/** Embeds into a store that may only be read, and then uses it: the former fails with a reason, the latter works. */
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
    return { faults: 2, seen: 'embed said so with and without a store there; train-head read it' };
  } finally {
    disk.unmount();
  }
}

/** Deletes the store while embed is at work: it either fails with a reason or is done, and another run makes it whole. */
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
    seen: `embed failed with the reason ${failed} times; another run made all of them whole`,
  };
}
