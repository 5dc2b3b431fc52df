/**
 * Measures the server under load, each setting in a server process of its own, in turns; the client, autocannon, runs here, on
 * the same cores, and what it costs is told. Every answer is compared with what `Classifier` says of that very picture. Beside
 * it /healthz is asked 20 times a second.
 *
 *     npm run load -- DATASET [--head FILE] [--model FILE] [--seconds N] [--rounds N]
 */
import { availableParallelism, cpus } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { expectedAnswers } from './load/expected.js';
import { measure, type Measured } from './load/measure.js';
import { startServerProcess } from './load/server-process.js';

const SETTINGS = [
  { name: 'one after another', clients: 1, flags: ['--max-batch', '1'] },
  { name: '32 clients, no batching', clients: 32, flags: ['--max-batch', '1'] },
  { name: '32 clients, batching', clients: 32, flags: [] },
  { name: '300 requests/s, batching', clients: 300, perSecond: 300, flags: [] },
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    head: { type: 'string', default: 'head.safetensors' },
    model: { type: 'string', default: 'models/resnet18.int8.onnx' },
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
    // For trying other settings of the server, such as --max-wait.
    serve: { type: 'string', default: '' },
  },
});
const [head, model] = [resolve(values.head), resolve(values.model)];
const expected = await expectedAnswers(resolve(positionals[0] ?? 'test/fixtures/examples'), head, model);
const results = new Map<string, Measured[]>();
for (let round = 1; round <= Number(values.rounds); round++) {
  for (const { flags, ...setting } of SETTINGS) {
    const { name } = setting;
    process.stderr.write(`round ${round} of ${values.rounds}: ${name}\n`);
    const extra = values.serve.split(' ').filter((flag) => flag !== '');
    const server = await startServerProcess(['--head', head, '--model', model, ...flags, ...extra]);
    try {
      const measured = await measure(server.url, expected, setting, Number(values.seconds));
      results.set(name, [...(results.get(name) ?? []), measured]);
    } finally {
      await server.stop();
    }
  }
}

const table = [...results].map(([name, rounds]) => {
  const all = (figure: keyof Measured) => rounds.map((measured) => measured[figure]).sort((a, b) => a - b);
  const middle = (figure: keyof Measured) => all(figure)[Math.floor(rounds.length / 2)] ?? NaN;
  const sum = (figure: keyof Measured) => all(figure).reduce((total, value) => total + value, 0);
  return {
    setting: name,
    'pictures/s': Number(middle('rate').toFixed(1)),
    range: `${all('rate').at(0)?.toFixed(1)} – ${all('rate').at(-1)?.toFixed(1)}`,
    'p50, ms': Math.round(middle('p50')),
    'p99, ms': Math.round(middle('p99')),
    'a batch': Number(middle('batch').toFixed(1)),
    'healthz p99, ms': Math.max(...all('healthP99')),
    'server, ms/picture': Number(middle('serverCost').toFixed(1)),
    'client, ms/answer': Number(middle('clientCost').toFixed(2)),
    answers: sum('right'),
    refused: sum('refused'),
    wrong: sum('wrong'),
    lost: sum('lost'),
    'memory, MiB': Math.round(Math.max(...all('memory'))),
  };
});
console.log(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, Node ${process.version}, ${model}`);
console.log(
  `${expected.length} pictures, of which ${new Set(expected.map(({ probability }) => probability.toFixed(5))).size} can be told apart by their probability`,
);
console.table(table);
