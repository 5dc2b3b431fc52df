import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Runs a program to its end and returns what it printed.
 * @param timeout in milliseconds. @default none
 * @throws {Error} if it fails, or takes longer
 */
export async function runProcess(command: string, args: string[], env = process.env, timeout = 0): Promise<string> {
  const child = spawn(command, args, { env, timeout, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code ?? 'a signal'}`);
  return output;
}
