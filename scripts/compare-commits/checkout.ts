import { spawn, type SpawnOptions } from 'node:child_process';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../src/util/errors.js';
import { ROOT } from '../support/script.js';

/** Sources of lastlayer, and the folder in which their command line runs. */
export interface Side {
  /** How the sources are called in the output. */
  name: string;
  /** Folder of the sources. */
  checkout: string;
  /** Working directory: what the commands write (models, stores, heads) lies here. */
  work: string;
}

export interface Finished {
  /** The exit code; null after a signal. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The sources as they are in the working tree, uncommitted changes included. */
export async function workingTree(folder: string): Promise<Side> {
  await mkdir(folder, { recursive: true });
  return { name: 'the working tree', checkout: ROOT, work: folder };
}

/** Checks a commit out into `folder`/checkout, by `git worktree`. {@link removeWorktree} takes it away again. */
export async function worktreeOf(commit: string, folder: string): Promise<Side> {
  const checkout = join(folder, 'checkout');
  const work = join(folder, 'work');
  await mkdir(work, { recursive: true });
  const found = await run('git', ['rev-parse', '--verify', '--short', `${commit}^{commit}`], { cwd: ROOT });
  if (found.code !== 0) throw new UsageError(`There is no commit ${commit}: ${found.stderr.trim()}`);
  const id = found.stdout.trim();
  await git('worktree', 'add', '--quiet', '--detach', checkout, id);
  await symlink(join(ROOT, 'node_modules'), join(checkout, 'node_modules'));
  return { name: id, checkout, work };
}

/** Removes what {@link worktreeOf} made; does nothing to the working tree. */
export async function removeWorktree({ checkout }: Side): Promise<void> {
  if (checkout !== ROOT) await git('worktree', 'remove', '--force', checkout);
}

/** Runs one side's own command line to its end, or until `signal` aborts it. */
export async function runCli(
  { checkout, work }: Side,
  args: readonly string[],
  signal: AbortSignal,
): Promise<Finished> {
  return run(process.execPath, [join(checkout, 'src', 'bin.cjs'), ...args], {
    cwd: work,
    env: { ...process.env, LASTLAYER_HOME: work, NODE_OPTIONS: '', FORCE_COLOR: undefined, NO_COLOR: '1' },
    signal,
    killSignal: 'SIGKILL',
  });
}

/** Runs git in the clone; Ctrl-C on the terminal does not reach it, so cleaning up is never interrupted. */
async function git(...args: string[]): Promise<void> {
  const { code, stderr } = await run('git', args, { cwd: ROOT, detached: true });
  if (code !== 0) throw new Error(`git ${args.join(' ')}: ${stderr.trim()}`);
}

async function run(command: string, args: readonly string[], options: SpawnOptions): Promise<Finished> {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  child.on('error', (error) => (output.stderr += error.message));
  // 'close' follows 'error' too, and only then is the process gone.
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, ...output };
}
