import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { COMMAND_LINE } from '../support/script.js';

/** Starts `serve` as a user would, and waits until it listens. */
export async function startServerProcess(flags: string[]): Promise<{ url: string; stop: () => Promise<void> }> {
  const args = [COMMAND_LINE, 'serve', '--port', '0', '--json', '--log-level', 'warn', ...flags];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  const line = await Promise.race([once(child.stdout, 'data'), ended.then(() => undefined)]);
  if (!line) throw new Error('The server did not start.');
  const { url } = JSON.parse(String(line[0])) as { url: string };
  return {
    url,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
      if (child.exitCode !== 0) throw new Error(`The server ended with ${child.exitCode ?? 'a signal'}.`);
    },
  };
}
