/**
 * Measures lastlayer and, where PEERS names the Python environment of the peers' scripts, PyTorch and scikit-learn
 * beside it, on the same files and the same cores. Every run is a process of its own; all contestants take turns, round
 * after round. Prints a table, and writes it as JSON with every single figure, and the rates as a chart.
 *
 *     npm run bench -- [DATASET] [--model FILE] [--int8 FILE] [--rounds N] [--head-rows M] [--out FOLDER]
 *     PEERS=~/peers npm run bench -- ~/photos
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { rateChart } from './bench/chart.js';
import { ownContestants } from './bench/own.js';
import { peerContestants } from './bench/peers.js';
import { summarize, tableOf, type Sample } from './bench/summary.js';
import { writeTrainingData } from './bench/training-data.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: 'models/resnet18.onnx' },
    int8: { type: 'string', default: 'models/resnet18.int8.onnx' },
    rounds: { type: 'string', default: '5' },
    'head-rows': { type: 'string', default: '5000' },
    out: { type: 'string', default: 'bench' },
  },
});
const dataset = resolve(positionals[0] ?? join(ROOT, 'test', 'fixtures', 'examples'));
const folder = await mkdtemp(join(tmpdir(), 'lastlayer-bench-'));
try {
  const data = await writeTrainingData(folder, Number(values['head-rows']));
  const setting = { dataset, folder, data, model: resolve(values.model), int8: resolve(values.int8) };
  const contestants = [
    ...(await ownContestants(setting)),
    ...peerContestants(setting, process.env.PEERS, join(ROOT, '..', 'shared', 'peers')),
  ];
  const samples: Sample[] = [];
  for (let round = 1; round <= Number(values.rounds); round++) {
    for (const { name, run } of contestants) {
      process.stderr.write(`round ${round} of ${values.rounds}: ${name}\n`);
      for (const [figure, value] of Object.entries(await run())) samples.push({ figure, name, value });
    }
  }
  const figures = summarize(samples);
  const machine = { cpu: cpus()[0]?.model.trim(), cores: availableParallelism(), node: process.version };
  console.log(tableOf(figures));
  await mkdir(values.out, { recursive: true });
  await writeFile(
    join(values.out, 'bench.json'),
    `${JSON.stringify({ date: new Date().toISOString(), machine, dataset, figures, samples }, null, 2)}\n`,
  );
  await writeFile(join(values.out, 'bench.svg'), rateChart(figures));
  console.log(
    `\nEvery figure is in ${join(values.out, 'bench.json')}, the chart in ${join(values.out, 'bench.svg')}`,
  );
} finally {
  await rm(folder, { recursive: true });
}
