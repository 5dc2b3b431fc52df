import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Report } from './child.js';

const CHILD = fileURLToPath(new URL('child.ts', import.meta.url));

/** What was seen of a target's mutants. */
export interface Tally {
  tried: number;
  read: number;
  refused: number;
  /** Distinct reasons, numbers aside. */
  reasons: Set<string>;
  faults: Fault[];
  /** Of the slowest mutant. */
  seconds: number;
  /** MiB: the most that a process took. */
  peak: number;
}

/** A mutant at which the process died, hung or grew, or that was neither read nor refused with a reason. */
export interface Fault {
  index: number;
  what: string;
}

export interface WatchOptions {
  target: string;
  seed: number;
  count: number;
  /** For one mutant. */
  secondsEach: number;
  /** MiB that the process may take. */
  memory: number;
  /** When to stop, in milliseconds since 1970. */
  until: number;
  onProgress?: (tally: Tally) => void;
  /** What runs in the process, and reports as child.ts does. Default: child.ts. */
  program?: string;
}

/** Tries a target's mutants in a process of its own, which is started anew after each fault, so that nothing goes unseen. */
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

/** Goes on until the end or a fault, and tells what the fault is. */
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

/** A reason without what differs from one mutant to the next: the temporary file, and numbers. */
function reasonOf(message: string): string {
  return message
    .replace(/\S*lastlayer-fuzz-\S*/g, 'FILE')
    .replace(/\d+/g, '0')
    .slice(0, 60);
}
