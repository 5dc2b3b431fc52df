import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { COMMAND_LINE } from '../support/script.js';

/** A prefix that makes a command run on one core only. */
export function pinnedTo(core: number | undefined): string[] {
  return core === undefined ? [] : ['taskset', '-c', String(core)];
}

export interface WorkerProcessOptions {
  /** The only core that it may use. */
  core?: number | undefined;
  /** Added to the environment. */
  env?: NodeJS.ProcessEnv | undefined;
}

/** A worker in its own process, as users start one. */
export class WorkerProcess {
  /** What it wrote to stderr. */
  log = '';
  private readonly ended: Promise<unknown>;

  private constructor(private readonly child: ChildProcess) {
    child.stderr?.on('data', (chunk: Buffer) => (this.log += chunk.toString()));
    this.ended = once(child, 'close');
  }

  /** Starts a worker and waits until it is ready for jobs. */
  static async start(
    url: string,
    flags: readonly string[],
    options: WorkerProcessOptions = {},
  ): Promise<WorkerProcess> {
    const worker = WorkerProcess.launch(url, flags, options);
    while (!worker.log.includes('Waiting for jobs')) {
      if (worker.hasEnded) throw new Error(`A worker ended: ${worker.log}`);
      await Promise.race([once(worker.child.stderr ?? worker.child, 'data'), worker.ended]);
    }
    return worker;
  }

  private static launch(url: string, flags: readonly string[], { core, env }: WorkerProcessOptions): WorkerProcess {
    const args = [COMMAND_LINE, 'worker', '--queue', url, '--json', ...flags];
    const own = { ...process.env, NODE_OPTIONS: '', FORCE_COLOR: undefined, ...env };
    const [command = '', ...rest] = [...pinnedTo(core), process.execPath, ...args];
    return new WorkerProcess(spawn(command, rest, { env: own, stdio: ['ignore', 'pipe', 'pipe'] }));
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Sends a signal and returns the exit code; null if the signal ended the worker. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (!this.hasEnded) this.child.kill(signal);
    await this.ended;
    return this.child.exitCode;
  }
}
