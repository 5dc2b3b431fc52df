import { basename, extname } from 'node:path';
import { type Command, Option } from 'commander';
import { DEFAULTS } from '../../server/options.js';
import { DEFAULT_HEAD } from '../../util/defaults.js';
import { UsageError } from '../../util/errors.js';
import { lazily } from '../../util/lazily.js';
import {
  datasetOption,
  deviceOption,
  modelOfHeadOption,
  notNegative,
  port,
  threadsOption,
  unknownOption,
  wholeNumber,
} from '../options.js';

const DEFAULT_HEADS = { head: DEFAULT_HEAD };

export const serveCommand = (command: Command): Command =>
  command
    .addOption(
      new Option(
        '--head <[name=]file>',
        'head to serve; repeat for several heads of one backbone, the first is the default',
      )
        .argParser(namedHead)
        .default(DEFAULT_HEADS, DEFAULT_HEAD),
    )
    .addOption(new Option('--port <n>', 'port to listen on, 0 for any free one').argParser(port).default(DEFAULTS.port))
    .option('--host <address>', 'address to listen on; other than localhost needs a key', DEFAULTS.host)
    .addOption(
      new Option('--api-key <key>', 'key that clients must send; better set in the environment').env(
        'LASTLAYER_API_KEY',
      ),
    )
    .option('--no-auth', 'let anyone in who reaches the address')
    .addOption(
      new Option('--cors <origin>', 'pages of this origin may use the server; repeat for several, * for all').argParser(
        (origin, earlier: string[] | undefined) => [...(earlier ?? []), origin],
      ),
    )
    .option('--store <dir>', 'embedding store to find similar pictures in (default: embeddings, if it exists)')
    .addOption(datasetOption())
    .addOption(
      new Option('--max-batch <n>', 'pictures per batch of the backbone')
        .argParser(wholeNumber)
        .default(DEFAULTS.maxBatch),
    )
    .addOption(
      new Option('--max-wait <ms>', 'how long an idle backbone waits for a batch to fill')
        .argParser(notNegative)
        .default(DEFAULTS.maxWait),
    )
    .addOption(
      new Option('--max-queue <n>', 'pictures in the queue; requests beyond that are rejected with 429')
        .argParser(wholeNumber)
        .default(DEFAULTS.maxQueue),
    )
    .addOption(scaled('--max-body <MiB>', 'largest request body', 2 ** 20, DEFAULTS.maxBody))
    .addOption(scaled('--max-pixels <millions>', 'largest picture', 1e6, DEFAULTS.maxPixels))
    .addOption(scaled('--timeout <seconds>', 'longest time for a request', 1000, DEFAULTS.timeout))
    .addOption(
      new Option('--log-level <level>', 'what to log; debug logs each request')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info'),
    )
    .addOption(unknownOption('as each head was trained'))
    .addOption(modelOfHeadOption())
    .addOption(deviceOption())
    .addOption(threadsOption())
    .option('--json', 'print one JSON object on stdout when the server listens, and log JSON on stderr')
    .addHelpText(
      'after',
      `
  /                              a page to drop pictures on
  POST /v1/classify              one picture as the body, or several as files of a form or as base64 in JSON
  POST /v1/heads/NAME/classify   the same, with this head
  GET /v1/heads /healthz /readyz /metrics /openapi.json

A head is reloaded when its file changes. Ctrl-C or SIGTERM stops the server after the requests in progress, or after 10 s; the
exit code is 0.

Examples:
  npm run serve
  npm run serve -- --head bees=bees.safetensors --head quality=quality.safetensors --port 3000
  LASTLAYER_API_KEY=… npm run serve -- --host 0.0.0.0
  npm run serve -- --cors http://localhost:3000 --cors https://shop.example
  curl --data-binary @bee.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8080/v1/classify
  curl -F file=@ant.jpg -F file=@bee.jpg 'http://127.0.0.1:8080/v1/classify?topK=2'`,
    )
    .action(lazily(async () => (await import('../serve.js')).run));

/** Collects `NAME=FILE`, or `FILE`, which is named after itself. */
function namedHead(text: string, earlier: Record<string, string>): Record<string, string> {
  const [, name = basename(text, extname(text)), file = text] = /^([\w.-]+)=(.+)$/.exec(text) ?? [];
  const heads = earlier === DEFAULT_HEADS ? {} : earlier;
  if (Object.hasOwn(heads, name)) {
    throw new UsageError(`Two heads are named ${name}. Give them different names: --head NAME=FILE.`);
  }
  return { ...heads, [name]: file };
}

/** An option that users give in a larger unit than the server takes. */
function scaled(flags: string, description: string, unit: number, value: number): Option {
  return new Option(flags, description)
    .argParser((text) => wholeNumber(text) * unit)
    .default(value, String(value / unit));
}
