import { createHash, randomBytes } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { codeOf } from './errors.js';

/** What is of other machines, of whose processes nothing is known here, counts as abandoned after this. */
const ABANDONED_MS = 24 * 3_600_000;

/**
 * A name beside a file for what is not whole yet, of this process alone: with the machine, the process and a random number, e.g.
 * `head.safetensors.1c2d3e-4711-a0b1c2.part`.
 * @param kind the last part of the name: letters
 */
export function temporaryName(target: string, kind = 'part'): string {
  return `${target}.${machine()}-${process.pid}-${randomBytes(3).toString('hex')}.${kind}`;
}

/** What lies beside a file under such names and is of processes that are no more. */
export async function abandonedBeside(target: string, kind = 'part'): Promise<string[]> {
  const start = `${basename(target)}.`;
  const pattern = new RegExp(`^([0-9a-f]{6})-(\\d+)-[0-9a-f]{6}\\.${kind}$`);
  const abandoned: string[] = [];
  for (const name of await readdir(dirname(target)).catch(() => [])) {
    const ending = name.startsWith(start) ? pattern.exec(name.slice(start.length)) : null;
    if (!ending) continue;
    const path = join(dirname(target), name);
    if (ending[1] === machine() ? !isRunning(Number(ending[2])) : await isOld(path)) abandoned.push(path);
  }
  return abandoned;
}

function machine(): string {
  return createHash('sha256').update(hostname()).digest('hex').slice(0, 6);
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // One of somebody else may not be signalled, but it is there.
    return codeOf(error) === 'EPERM';
  }
}

async function isOld(path: string): Promise<boolean> {
  return stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs > ABANDONED_MS,
    () => false,
  );
}
