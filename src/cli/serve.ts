import { once } from 'node:events';
import type { LogOptions, ServerOptions } from '../server/options.js';
import { startServer } from '../server/server.js';
import { interruptible } from './progress.js';
import { printJson, say } from './terminal.js';

interface ServeFlags extends Omit<ServerOptions, 'heads' | 'log'> {
  head: Record<string, string>;
  logLevel: LogOptions['level'];
  json?: true | undefined;
}

export async function run({ head: heads, logLevel: level, json, ...options }: ServeFlags): Promise<void> {
  const stream = json ? process.stderr : { write: sayMessage };
  const server = await startServer({ ...options, heads, log: { level, stream } });
  if (json) printJson({ url: server.url, heads: server.heads, dataset: server.dataset });
  await interruptible(
    async (signal) => {
      if (!signal.aborted) await once(signal, 'abort');
      await server.close();
    },
    { notice: 'Stopping after the requests in progress. Press Ctrl-C again to stop at once.' },
  );
}

/** Shows a person only the message of a log entry. */
function sayMessage(line: string): void {
  const { msg } = JSON.parse(line) as { msg: string };
  say(msg);
}
