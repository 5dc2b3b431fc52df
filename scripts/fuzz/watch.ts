import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Report } from './child.js';

const CHILD = fileURLToPath(new URL('child.ts', import.meta.url));

/** The outcomes of a target's mutants. */
export interface Tally {
  tried: number;
  read: number;
  refused: number;
  /** Distinct reasons, without their numbers. */
  reasons: Set<string>;
  faults: Fault[];
  /** Time of the slowest mutant. */
  seconds: number;
  /** Peak memory of a process, in MiB. */
  peak: number;
}

/** A mutant that made the process die, hang or grow too much, or that was neither read nor refused with a reason. */
export interface Fault {
  index: number;
  what: string;
}

export interface WatchOptions {
  target: string;
  seed: number;
  count: number;
  /** Time limit for one mutant. */
  secondsEach: number;
  /** Memory limit of the process, in MiB. */
  memory: number;
  /** When to stop, in milliseconds since 1970. */
  until: number;
  onProgress?: ((tally: Tally) => void) | undefined;
  /** The program of the process, which reports as child.ts does. @default child.ts */
  program?: string | undefined;
}

/** Tries a target's mutants in a separate process, which is restarted after each fault. */
export async function watch(options: WatchOptions): Promise<Tally> {
  const tally: Tally = { tried: 0, read: 0, refused: 0, reasons: new Set(), faults: [], seconds: 0, peak: 0 };
  while (tally.tried < options.count && Date.now() < options.until) {
    const fault = await stretch(options, tally);
    if (!fault) continue;
    tally.faults.push({ index: tally.tried, what: fault });
    tally.tried++;
  }
  return tally;
}

/** Runs a process until the end or a fault, and returns the fault. */
function stretch(options: WatchOptions, tally: Tally): Promise<string | undefined> {
  const { target, seed, count, secondsEach, memory, until, program = CHILD } = options;
  const args = [target, String(seed), String(tally.tried), String(count)];
  const child = fork(program, args, {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let [fault, began, last]: [string | undefined, number | undefined, string] = [undefined, undefined, ''];
  child.stderr?.on('data', (chunk: Buffer) => (last = `${last}${chunk.toString()}`.slice(-2000)));
  const end = (what?: string) => {
    fault ??= what;
    child.kill('SIGKILL');
  };
  const timer = setInterval(() => {
    if (Date.now() >= until) end();
    else if (began !== undefined && Date.now() - began > 1000 * secondsEach) end(`hung for ${secondsEach} s`);
  }, 250);
  child.on('message', (message: Report | 'ready') => {
    const now = Date.now();
    if (fault !== undefined) return;
    if (message !== 'ready') {
      tally.seconds = Math.max(tally.seconds, (now - (began ?? now)) / 1000);
      tally.peak = Math.max(tally.peak, message.peak);
      if (message.result === 'fault') end(message.message);
      else if (message.peak > memory) end(`took ${Math.round(message.peak)} MiB of memory`);
      else {
        tally.tried++;
        tally[message.result]++;
        if (message.result === 'refused') tally.reasons.add(reasonOf(message.message));
        options.onProgress?.(tally);
      }
    }
    began = now;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearInterval(timer);
      const done = tally.tried >= count || Date.now() >= until;
      resolve(fault ?? (done ? undefined : `the process died (${signal ?? `exit code ${code}`}). ${last}`));
    });
  });
}

/** A reason without what differs between mutants: the temporary file, and numbers. */
function reasonOf(message: string): string {
  return message
    .replace(/\S*lastlayer-fuzz-\S*/g, 'FILE')
    .replace(/\d+/g, '0')
    .slice(0, 60);
}
