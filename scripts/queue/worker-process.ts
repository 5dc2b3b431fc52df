import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const ROOT = new URL('../..', import.meta.url);
const CLI = fileURLToPath(new URL('src/cli.ts', ROOT));
const TSX = new URL('node_modules/tsx/dist/loader.mjs', ROOT).href;

/** A worker in a process of its own, as users start one. */
export class WorkerProcess {
  /** What it said. */
  log = '';
  private readonly ended: Promise<unknown>;

  private constructor(private readonly child: ChildProcess) {
    child.stderr?.on('data', (chunk: Buffer) => (this.log += chunk.toString()));
    this.ended = once(child, 'close');
  }

  /** Starts one and waits until it is ready for jobs. */
  static async start(url: string, flags: readonly string[]): Promise<WorkerProcess> {
    const args = ['--import', TSX, CLI, 'worker', '--queue', url, '--json', ...flags];
    const env = { ...process.env, NODE_OPTIONS: '', FORCE_COLOR: undefined };
    const worker = new WorkerProcess(
      spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    while (!worker.log.includes('Waiting for jobs')) {
      if (worker.hasEnded) throw new Error(`A worker ended: ${worker.log}`);
      await Promise.race([once(worker.child.stderr ?? worker.child, 'data'), worker.ended]);
    }
    return worker;
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Sends a signal and gives the exit code; null where the signal ended it. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (!this.hasEnded) this.child.kill(signal);
    await this.ended;
    return this.child.exitCode;
  }
}
