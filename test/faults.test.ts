import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Random } from '../scripts/support/random.js';
import { killEmbed } from '../scripts/faults/kill-embed.js';
import { killLabel } from '../scripts/faults/kill-label.js';
import { killFetchModel } from '../scripts/faults/kill-files.js';
import type { Scenario } from '../scripts/faults/scenario.js';
import { stripedDataset, temporaryFolder } from './support/files.js';
import { smallNetwork } from './support/small-network.js';

// The short part of `scripts/faults.ts`, which checks after every kill what docs/reliability.md promises.
const root = await temporaryFolder();
const dataset = join(root, 'data');
const model = join(root, 'small.onnx');
await stripedDataset(dataset, { train: { flat: 12, steep: 12 } });
await writeFile(model, smallNetwork());

async function faultsOf(scenario: Scenario, rounds: number, network?: string): Promise<number> {
  const folder = join(root, scenario.name);
  await mkdir(folder);
  const setting = { folder, dataset, rounds, random: new Random(4), ...(network && { model: network }) };
  return (await scenario(setting)).faults;
}

it('embed survives being killed at any moment', async () => {
  expect(await faultsOf(killEmbed, 2, model)).toBeGreaterThanOrEqual(2);
});

it('fetch-model leaves the old model or the new one', async () => {
  expect(await faultsOf(killFetchModel, 2)).toBe(2);
});

it('label loses no label that it has acknowledged, and its manifest can always be read', async () => {
  expect(await faultsOf(killLabel, 2, model)).toBe(2);
});
