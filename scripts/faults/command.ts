import { spawn } from 'node:child_process';
import { watch } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** When to kill: after so many milliseconds, or so many changes in the watched folder. */
export type Moment = { afterMs: number } | { afterChanges: number };

export interface Run {
  /** The exit code; null where it was killed. */
  code: number | null;
  stdout: string;
  stderr: string;
  /** Milliseconds that it took. */
  took: number;
  /** Changes that were seen in the watched folder. */
  changes: number;
}

export interface RunOptions {
  /** Working directory, which is watched with all that is in it. */
  folder: string;
  /** Kills the process, unless it has ended by then. */
  kill?: Moment;
  /** Does something while it runs, once. */
  at?: { moment: Moment; act: () => void };
}

/** Runs the command line as users do. */
export async function run(args: readonly string[], { folder, kill, at }: RunOptions): Promise<Run> {
  const tsx = join(ROOT, 'node_modules', 'tsx', 'dist', 'loader.mjs');
  const start = performance.now();
  const child = spawn(process.execPath, ['--import', `file://${tsx}`, join(ROOT, 'src', 'cli.ts'), ...args], {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: '', FORCE_COLOR: undefined, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const planned = kill ? { moment: kill, act: () => void child.kill('SIGKILL') } : at;
  let [changes, acted] = [0, false];
  const act = () => {
    if (acted) return;
    acted = true;
    planned?.act();
  };
  const watcher = watch(folder, { recursive: true }, () => {
    changes++;
    if (planned && 'afterChanges' in planned.moment && changes >= planned.moment.afterChanges) act();
  });
  // A file may be gone before it is looked at.
  watcher.on('error', () => undefined);
  const timer = planned && 'afterMs' in planned.moment ? setTimeout(act, planned.moment.afterMs) : undefined;
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', resolve);
    });
    return { code, ...output, took: performance.now() - start, changes };
  } finally {
    clearTimeout(timer);
    watcher.close();
  }
}

/** As {@link run}, to its end. @throws where it does not exit with 0 */
export async function runWhole(args: readonly string[], folder: string): Promise<Run> {
  const done = await run(args, { folder });
  if (done.code !== 0) throw new Error(`${args.join(' ')} ended with ${done.code}: ${done.stderr}`);
  return done;
}
