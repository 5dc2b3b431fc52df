import { basename, extname } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { DEFAULTS, type LogOptions } from '../server/options.js';
import { startServer } from '../server/server.js';
import { UsageError } from '../util/errors.js';
import {
  backboneOptions,
  deviceOption,
  type ModelFlags,
  modelOption,
  notNegative,
  threadsOption,
  wholeNumber,
} from './options.js';
import { interruptible } from './progress.js';
import { print, say } from './terminal.js';

interface ServeFlags extends ModelFlags {
  head: Record<string, string>;
  host: string;
  port: number;
  apiKey?: string | undefined;
  auth: boolean;
  store?: string | undefined;
  dataset?: string | undefined;
  maxBatch: number;
  maxWait: number;
  maxQueue: number;
  maxBody: number;
  maxPixels: number;
  timeout: number;
  logLevel: LogOptions['level'];
  json?: true | undefined;
}

const DEFAULT_HEAD = { head: 'head.safetensors' };

export const serveCommand = (command: Command): Command =>
  command
    .addOption(
      new Option(
        '--head <[name=]file>',
        'a head; several on one network by name, the first one answers by default',
      )
        .argParser(headNamed)
        .default(DEFAULT_HEAD, 'head.safetensors'),
    )
    .addOption(new Option('--port <n>', '0 takes any that is free').argParser(port).default(DEFAULTS.port))
    .option(
      '--host <address>',
      'where to listen; elsewhere than on this machine it takes a key',
      DEFAULTS.host,
    )
    .addOption(
      new Option('--api-key <key>', 'what clients have to send; better set in the environment').env(
        'LASTLAYER_API_KEY',
      ),
    )
    .option('--no-auth', 'let anyone in who reaches the address')
    .option(
      '--store <dir>',
      'the embeddings to find similar pictures in (default: embeddings, where it is there)',
    )
    .option('--dataset <path>', 'the data set, as it was embedded (default: the one embedded last)')
    .addOption(whole('--max-batch <n>', 'pictures that go through the network together', DEFAULTS.maxBatch))
    .addOption(
      new Option('--max-wait <ms>', 'how long an idle network waits for more pictures')
        .argParser(notNegative)
        .default(DEFAULTS.maxWait),
    )
    .addOption(
      whole(
        '--max-queue <n>',
        'pictures that may wait; beyond it requests are refused by 429',
        DEFAULTS.maxQueue,
      ),
    )
    .addOption(whole('--max-body <MiB>', 'the largest request', DEFAULTS.maxBody / 2 ** 20))
    .addOption(whole('--max-pixels <millions>', 'the largest picture', DEFAULTS.maxPixels / 1e6))
    .addOption(whole('--timeout <seconds>', 'the longest that a request may take', DEFAULTS.timeout / 1000))
    .addOption(
      new Option('--log-level <level>', 'debug tells each request')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info'),
    )
    .addOption(modelOption())
    .addOption(deviceOption())
    .addOption(threadsOption())
    .option('--json', 'print one JSON object on stdout once it listens, and log JSON on stderr')
    .addHelpText(
      'after',
      `
  /                          a page to drop pictures on
  POST /v1/classify          a picture as the body, or several as the files of a form
  POST /v1/heads/NAME/classify
  GET /v1/heads /healthz /readyz /metrics /openapi.json

A head is read anew when its file changes. Ctrl-C or SIGTERM ends the server when the requests under way are answered, or 10 s
have passed; exit code 0.

Examples:
  npm run serve
  npm run serve -- --head bees=bees.safetensors --head quality=quality.safetensors --port 3000
  LASTLAYER_API_KEY=… npm run serve -- --host 0.0.0.0
  curl --data-binary @bee.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8080/v1/classify
  curl -F file=@ant.jpg -F file=@bee.jpg 'http://127.0.0.1:8080/v1/classify?topK=2'`,
    )
    .action(run);

async function run({
  head,
  auth,
  maxBody,
  maxPixels,
  timeout,
  logLevel,
  json,
  ...flags
}: ServeFlags): Promise<void> {
  const { host, port, apiKey, store, dataset, maxBatch, maxWait, maxQueue } = flags;
  const server = await startServer({
    ...backboneOptions(flags),
    heads: head,
    host,
    port,
    withoutKey: !auth,
    maxBatch,
    maxWait,
    maxQueue,
    apiKey,
    store,
    dataset,
    maxBody: maxBody * 2 ** 20,
    maxPixels: maxPixels * 1e6,
    timeout: timeout * 1000,
    log: { level: logLevel, stream: json ? process.stderr : { write: sayMessage } },
  });
  const { url, heads } = server;
  if (json) print(JSON.stringify({ url, heads, dataset: server.dataset }));
  await interruptible(async (signal) => {
    try {
      await aborted(signal);
    } finally {
      await server.close();
    }
  }, 'Stopping when the requests under way are answered. Once more to stop at once.');
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => {
      resolve();
    });
  });
}

/** A line of the log for people: its message alone. */
function sayMessage(line: string): void {
  const { msg } = JSON.parse(line) as { msg: string };
  say(msg);
}

/** Collects `NAME=FILE` and `FILE`, which goes by its own name. */
function headNamed(text: string, earlier: Record<string, string>): Record<string, string> {
  const [, name = basename(text, extname(text)), file = text] = /^([\w.-]+)=(.+)$/.exec(text) ?? [];
  const heads = earlier === DEFAULT_HEAD ? {} : earlier;
  if (name in heads) {
    throw new UsageError(`Two heads are named ${name}; name them apart: --head NAME=FILE.`);
  }
  return { ...heads, [name]: file };
}

function whole(flags: string, description: string, value: number): Option {
  return new Option(flags, description).argParser(wholeNumber).default(value);
}

function port(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 65535) {
    throw new InvalidArgumentError('A port is expected, 0 to 65535.');
  }
  return value;
}
