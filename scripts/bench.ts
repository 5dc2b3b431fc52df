import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelFile } from '../src/backbone/models.js';
import { LastlayerError } from '../src/util/errors.js';
import { rateChart } from './bench/chart.js';
import { cosineContestants, ownContestants } from './bench/own.js';
import { enlargePhotographs } from './bench/enlarge.js';
import { peerContestants, torchvisionPixels } from './bench/peers.js';
import type { Contestant } from './bench/setting.js';
import { sharesIn, summarize, tableOf, type Sample } from './bench/summary.js';
import { writeTrainingData } from './bench/training-data.js';
import { count, datasetArgument, number, ROOT, run, script } from './support/script.js';

export const command = script(
  'bench',
  'Measure lastlayer and, if PEERS names a Python environment with PyTorch and scikit-learn, these too, on the same files ' +
    'and the same cores. Every run has a process of its own, and all contestants take turns in each round. Prints a table, ' +
    'and writes every figure as JSON and the rates as a chart.',
  ['~/photos', '~/photos --rounds 1 --head-rows 1000', '~/photos --megapixels 12'],
)
  .addArgument(datasetArgument())
  .option('--model <file>', 'float32 model: name, id or file', 'resnet18')
  .option('--int8 <file>', 'int8 model; left out if it is missing', 'resnet18.int8')
  .option('--rounds <n>', 'how often each contestant runs', count, 5)
  .option('--head-rows <n>', 'generated embeddings to train the head on', count, 5000)
  .option('--megapixels <n>', 'enlarge the photographs to this size first, as phones take them', number({ min: 1 }))
  .option('--pictures <n>', 'how many to enlarge', count, 120)
  .option('--out <folder>', 'where bench.json and bench.svg are written', 'bench')
  .action(bench);
await run(import.meta.url, command);

interface Options {
  model: string;
  int8: string;
  rounds: number;
  headRows: number;
  megapixels?: number;
  pictures: number;
  out: string;
}

async function bench(given: string, options: Options): Promise<void> {
  const { model, int8, rounds, headRows, megapixels, pictures, out } = options;
  const models = { model: await modelFile(model), int8: await ifThere(int8) };
  const folder = await mkdtemp(join(tmpdir(), 'lastlayer-bench-'));
  try {
    const dataset =
      megapixels === undefined ? given : await enlargePhotographs(given, folder, { megapixels, count: pictures });
    const data = await writeTrainingData(folder, headRows);
    const setting = { dataset, folder, data, ...models };
    const environment = process.env.PEERS;
    const peers = peerContestants(setting, environment, join(ROOT, '..', 'shared', 'peers'));
    const contestants = [...ownContestants(setting), ...peers];
    const samples: Sample[] = [];
    for (let round = 1; round <= rounds; round++) {
      const ofRound = await samplesOf(contestants, `round ${round} of ${rounds}`);
      samples.push(...ofRound, ...sharesIn(ofRound));
    }
    if (environment !== undefined && peers.length > 0) {
      const cosines = cosineContestants(setting, await torchvisionPixels(setting, environment));
      samples.push(...(await samplesOf(cosines, 'cosines')));
    }
    const figures = summarize(samples);
    const machine = { cpu: cpus()[0]?.model.trim(), cores: availableParallelism(), node: process.version };
    console.log(tableOf(figures));
    await mkdir(out, { recursive: true });
    const [json, chart] = [join(out, 'bench.json'), join(out, 'bench.svg')];
    const report = { date: new Date().toISOString(), machine, dataset: given, megapixels, figures, samples };
    await writeFile(json, `${JSON.stringify(report, null, 2)}\n`);
    await writeFile(chart, rateChart(figures));
    console.log(`\nWrote every figure to ${json}, and the chart to ${chart}`);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Has each contestant run once. */
async function samplesOf(contestants: readonly Contestant[], when: string): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const { name, run } of contestants) {
    process.stderr.write(`${when}: ${name}\n`);
    for (const [figure, value] of Object.entries(await run())) samples.push({ figure, name, value });
  }
  return samples;
}

async function ifThere(model: string): Promise<string | undefined> {
  try {
    return await modelFile(model);
  } catch (error) {
    if (!(error instanceof LastlayerError)) throw error;
    process.stderr.write(`int8 is left out: ${error.message}\n`);
    return undefined;
  }
}
