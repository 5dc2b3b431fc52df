import { availableParallelism, cpus } from 'node:os';
import { resolve } from 'node:path';
import { sum } from '../src/util/math.js';
import { expectedAnswers } from './load/expected.js';
import { measure, type Measured } from './load/measure.js';
import { startServerProcess } from './load/server-process.js';
import { count, datasetArgument, number, run, script } from './support/script.js';
import { median } from './support/statistics.js';

const SETTINGS = [
  { name: 'one after another', clients: 1, flags: ['--max-batch', '1'] },
  { name: '32 clients, no batching', clients: 32, flags: ['--max-batch', '1'] },
  { name: '32 clients, batching', clients: 32, flags: [] },
  { name: '300 requests/s, batching', clients: 300, perSecond: 300, flags: [] },
];

export const command = script(
  'load',
  'Measure the server under load. Each setting has a server process of its own, and the settings take turns. The client, ' +
    'autocannon, runs in this process on the same cores, and its cost is reported too. Every answer is compared with that ' +
    'of the classifier for the same picture, and /healthz is asked 20 times a second.',
  ['~/photos', '~/photos --seconds 30 --serve "--max-wait 5"'],
)
  .addArgument(datasetArgument())
  .option('--head <file>', 'head file, from train-head', 'head.safetensors')
  .option('--model <name|file>', 'backbone (default: the one that the head was trained on)')
  .option('--seconds <n>', 'length of each measurement', number({ min: 1 }), 10)
  .option('--rounds <n>', 'how often each setting runs', count, 3)
  .option('--serve <options>', 'further options for the server, e.g. "--max-wait 5"', '')
  .action(load);
await run(import.meta.url, command);

interface Options {
  head: string;
  model?: string | undefined;
  seconds: number;
  rounds: number;
  serve: string;
}

async function load(dataset: string, { seconds, rounds, serve, model, ...files }: Options): Promise<void> {
  const head = resolve(files.head);
  const expected = await expectedAnswers(dataset, head, model);
  const results = new Map<string, Measured[]>();
  const extra = serve.split(' ').filter((flag) => flag !== '');
  if (model !== undefined) extra.push('--model', model);
  for (let round = 1; round <= rounds; round++) {
    for (const { name, flags, ...setting } of SETTINGS) {
      process.stderr.write(`round ${round} of ${rounds}: ${name}\n`);
      const server = await startServerProcess(['--head', head, ...flags, ...extra]);
      try {
        const measured = await measure(server.url, expected, setting, seconds);
        results.set(name, [...(results.get(name) ?? []), measured]);
      } finally {
        await server.stop();
      }
    }
  }
  console.log(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, Node ${process.version}, ${model ?? head}`);
  const distinct = new Set(expected.map(({ probability }) => probability.toFixed(5)));
  console.log(`${expected.length} pictures with ${distinct.size} different probabilities`);
  console.table([...results].map(([name, rounds]) => summaryOf(name, rounds)));
}

function summaryOf(name: string, rounds: readonly Measured[]) {
  const all = (figure: keyof Measured) => rounds.map((measured) => measured[figure]);
  const middle = (figure: keyof Measured, digits = 0) => Number(median(all(figure)).toFixed(digits));
  return {
    setting: name,
    'pictures/s': middle('rate', 1),
    range: `${Math.min(...all('rate')).toFixed(1)} – ${Math.max(...all('rate')).toFixed(1)}`,
    'p50, ms': middle('p50'),
    'p99, ms': middle('p99'),
    'a batch': middle('batch', 1),
    'healthz p99, ms': Math.max(...all('healthP99')),
    'server, ms/picture': middle('serverCost', 1),
    'client, ms/answer': middle('clientCost', 2),
    answers: sum(all('right')),
    refused: sum(all('refused')),
    wrong: sum(all('wrong')),
    lost: sum(all('lost')),
    'memory, MiB': Math.round(Math.max(...all('memory'))),
  };
}
