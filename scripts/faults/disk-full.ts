import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { smallNetwork } from '../../test/support/small-network.js';
import { checkClearFailure, run, runWhole } from './command.js';
import { Disk } from './disk.js';
import { checkAllRows, checkRows, digestsIn } from './rows.js';
import { LARGE, modelFlags, type Report, type Setting } from './scenario.js';

const KIB = 1024;

/**
 * Runs embed, train-head, export and fetch-model on a disk with too little space. Each must fail with a clear message and keep
 * the old files, and succeed in another run once there is space.
 */
export async function diskFull(setting: Setting): Promise<Report> {
  const disk = await Disk.mount(join(setting.folder, 'disk'), 64);
  try {
    const stores = await fullStore(setting, disk);
    const files = await fullFiles(setting, disk);
    return {
      faults: stores + files,
      seen: `${stores} times for the store, ${files} for heads, models and exports; all succeeded once there was space`,
    };
  } finally {
    disk.unmount();
  }
}

/** @returns how often the disk was full */
async function fullStore(setting: Setting, disk: Disk): Promise<number> {
  const { folder, dataset, rounds, random } = setting;
  const args = (store: string) => ['embed', dataset, '--store', store, ...modelFlags(setting)];
  const undisturbed = join(folder, 'undisturbed');
  await runWhole(args(undisturbed), folder);
  const expected = await digestsIn(undisturbed);
  const store = join(disk.folder, 'store');
  let failures = 0;
  for (let round = 1; failures < rounds; round++) {
    await rm(store, { recursive: true, force: true });
    await disk.fill(Math.round(4 * KIB + 2 * KIB * expected.size * random.between(0, 1)));
    const tried = await run(args(store), { folder });
    if (tried.code !== 0) {
      checkClearFailure(tried, store);
      checkRows(await digestsIn(store), expected);
      failures++;
    }
    await disk.empty();
    await runWhole(args(store), folder);
    checkAllRows(await digestsIn(store), expected);
    setting.onProgress?.(`store: full ${failures} times of ${rounds}, in ${round} tries`);
  }
  return failures;
}

/** @returns how often the disk was full */
async function fullFiles(setting: Setting, disk: Disk): Promise<number> {
  const { folder, rounds, random } = setting;
  const source = join(folder, 'source.onnx');
  await writeFile(source, smallNetwork(1, LARGE));
  await runWhole(['embed', setting.dataset, ...modelFlags(setting)], folder);
  await runWhole(['train-head'], folder);
  const commands = {
    'head.safetensors': ['train-head'],
    'fc.safetensors': ['export', '--format', 'safetensors'],
    'classifier.onnx': ['export'],
    'rows.parquet': ['export', '--format', 'parquet'],
    'rows.npy': ['export', '--format', 'npy'],
    'rows.json': ['export', '--format', 'json'],
    'fetched.onnx': ['fetch-model', '--from', source, '--force'],
  };
  let failures = 0;
  for (const [file, args] of Object.entries(commands)) {
    const out = join(disk.folder, file);
    const whole = [...args, '--out', out];
    await runWhole(whole, folder);
    const { size } = await stat(out);
    for (let round = 0; round < Math.ceil(rounds / 4); round++) {
      await writeFile(out, 'old');
      await disk.fill(Math.floor(size * random.between(0, 0.95)));
      checkClearFailure(await run(whole, { folder }), disk.folder);
      if ((await readFile(out, 'utf8')) !== 'old') throw new Error(`${file} is not the old file.`);
      failures++;
      await disk.empty();
      await runWhole(whole, folder);
      if ((await stat(out)).size !== size) throw new Error(`${file} is incomplete.`);
    }
    setting.onProgress?.(`${file}: done`);
  }
  return failures;
}
