import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { watch } from 'node:fs';
import type { Readable } from 'node:stream';
import type { Random } from '../support/random.js';
import { COMMAND_LINE } from '../support/script.js';

/** When to act: after a time, or after a number of changes in the watched folder. */
export type Moment = { afterMs: number } | { afterChanges: number };

export interface Run {
  /** The exit code; null if it was killed. */
  code: number | null;
  stdout: string;
  stderr: string;
  /** Duration in milliseconds. */
  took: number;
  /** Number of changes seen in the watched folder. */
  changes: number;
}

export interface RunOptions {
  /** Working directory. It is watched recursively. */
  folder: string;
  /** Kills the process, unless it has ended by then. */
  kill?: Moment | undefined;
  /** Does something once while it runs. */
  at?: { moment: Moment; act: () => void } | undefined;
}

/** Starts the command line. */
export function start(args: readonly string[], folder: string): ChildProcessByStdio<null, Readable, Readable> {
  return spawn(process.execPath, [COMMAND_LINE, ...args], {
    cwd: folder,
    env: { ...process.env, LASTLAYER_HOME: folder, NODE_OPTIONS: '', FORCE_COLOR: undefined, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Runs the command line as a user would. */
export async function run(args: readonly string[], { folder, kill, at }: RunOptions): Promise<Run> {
  const started = performance.now();
  const child = start(args, folder);
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
  // A file may vanish before the watcher looks at it.
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
    return { code, ...output, took: performance.now() - started, changes };
  } finally {
    clearTimeout(timer);
    watcher.close();
  }
}

/** {@link run} to the end. @throws if it does not exit with 0 */
export async function runWhole(args: readonly string[], folder: string): Promise<Run> {
  const done = await run(args, { folder });
  if (done.code !== 0) throw new Error(`${args.join(' ')} ended with ${done.code}: ${done.stderr}`);
  return done;
}

/**
 * A moment of a run like the given one: any time up to its end, or any change of its files. Early ones are more likely, since a
 * run that continues from an earlier one has less to do.
 */
export function momentIn({ took, changes }: Pick<Run, 'took' | 'changes'>, random: Random): Moment {
  const fraction = random.between(0, 1) ** 2;
  return random.chance(0.3)
    ? { afterMs: Math.round(took * (0.3 + 0.7 * fraction)) }
    : { afterChanges: 1 + Math.floor(changes * fraction) };
}

/** @throws unless a command failed with a message that names the place, and no stack */
export function checkClearFailure({ code, stderr }: Run, place: string): void {
  const message = stderr.slice(stderr.indexOf('Error:'));
  const isClear =
    message.startsWith('Error:') &&
    message.includes(place) &&
    !/\n\s+at |\.rs:|GenericFailure/.test(message) &&
    message.length < 800;
  if (code !== 1 || !isClear) throw new Error(`Expected a clear error message, but got ${code}: ${stderr}`);
}
