import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Semaphore } from 'async-mutex';
import { LastlayerError } from '../util/errors.js';
import type { Answer, Job } from './isolated-process.js';
import { hasOtherDecoder, type Header, type Recipe, TIMEOUT } from './render.js';

const MIB = 2 ** 20;

/** What a process takes before it has a picture, in MiB. */
const EMPTY = 80;

/** How often a process has a picture's decoded bytes in memory, the decoder's own copies among them. */
const COPIES = 6;

/** What a process takes with a photograph of 12 megapixels, in MiB. */
const PHOTOGRAPH = 320;

/** A process that had nothing to do for so long ends. */
const IDLE_MS = 60_000;

interface PoolOptions {
  /** The most processes. @default the number of cores */
  processes?: number | undefined;
  /** What their pictures may take together, in MiB. @default 2 GiB, or 320 MiB for each process */
  memory?: number | undefined;
}

/**
 * Decodes in separate processes: for pictures that might take any amount of time or memory, as no limit holds inside a decoder. A
 * process that takes too long or crashes loses only its picture; the next picture gets a new process. Pictures are decoded side by
 * side as far as memory allows. One that may take any amount has all of it for itself.
 *
 * Processes start when they are needed, and do not keep this one alive.
 */
export class Isolated {
  private readonly memory: number;
  /** What any picture gets, so that there are never more processes than there may be. */
  private readonly least: number;
  private readonly budget: Semaphore;
  /** Processes without a picture, the last one used at the end, each with the timer that ends it. */
  private readonly idle = new Map<ChildProcess, NodeJS.Timeout>();
  private busy = 0;

  constructor({ processes = availableParallelism(), memory }: PoolOptions = {}) {
    this.memory = memory ?? Math.max(2048, processes * PHOTOGRAPH);
    this.least = Math.floor(this.memory / processes);
    this.budget = new Semaphore(this.memory);
  }

  /** @throws {LastlayerError} as {@link render} does */
  async header(image: Uint8Array, seconds: number): Promise<Header> {
    const answer = await this.answer({ image, recipe: undefined }, 0, seconds);
    if ('header' in answer) return answer.header;
    throw failure(answer, seconds);
  }

  /**
   * @param bytes that its decoded pixels take, as the header says
   * @returns interleaved RGB bytes
   * @throws {LastlayerError} if the picture cannot be read, takes too long, or crashes the process
   */
  async render(image: Uint8Array, recipe: Recipe, bytes: number): Promise<Uint8Array> {
    const answer = await this.answer({ image, recipe }, bytes, recipe.seconds);
    if ('pixels' in answer) return answer.pixels;
    throw failure(answer, recipe.seconds);
  }

  private async answer(picture: Omit<Job, 'memory'>, bytes: number, seconds: number): Promise<Answer> {
    const most = Math.ceil(Math.max(bytes, picture.image.length) / MIB);
    const needed = hasOtherDecoder(picture.image) ? Math.max(EMPTY + COPIES * most, this.least) : Infinity;
    if (needed < this.memory) {
      // What is not the decoder's: a process without a picture, and the pixels before and after they are packed.
      const job = { ...picture, memory: MIB * (needed - EMPTY - 2 * most) };
      const answer = await this.budget.runExclusive(() => this.run(job, seconds, needed > this.least), needed);
      if (!('isShortOfMemory' in answer && answer.isShortOfMemory)) return answer;
    }
    return this.budget.runExclusive(() => this.run({ ...picture, memory: Infinity }, seconds, true), this.memory);
  }

  /** @param isLarge whether the picture may take more memory than every process may keep */
  private async run(job: Job, seconds: number, isLarge: boolean): Promise<Answer> {
    const child = this.take();
    this.busy++;
    try {
      const answer = await answerOf(child, job, seconds);
      if (isLarge && this.busy + this.idle.size > 1) end(child);
      else this.keep(child);
      return answer;
    } catch (error) {
      end(child);
      throw error;
    } finally {
      this.busy--;
    }
  }

  /** The process that was last used, as the others may end then, or a new one. */
  private take(): ChildProcess {
    for (const [child, timer] of [...this.idle].reverse()) {
      clearTimeout(timer);
      this.idle.delete(child);
      if (child.connected) return child;
    }
    return start();
  }

  private keep(child: ChildProcess): void {
    const timer = setTimeout(() => {
      this.idle.delete(child);
      end(child);
    }, IDLE_MS);
    this.idle.set(child, timer.unref());
  }
}

/** @throws {LastlayerError} if the process takes too long, or crashes */
function answerOf(child: ChildProcess, job: Job, seconds: number): Promise<Answer> {
  child.ref();
  child.channel?.ref();
  return new Promise<Answer>((resolve, reject) => {
    const settle = () => {
      clearTimeout(timer);
      child.removeAllListeners();
      child.unref();
      child.channel?.unref();
    };
    const die = (error: LastlayerError) => {
      settle();
      reject(error);
    };
    const crash = (how: string) => {
      die(new LastlayerError(`crashed its decoder (${how})`));
    };
    const timer = setTimeout(() => {
      die(tooSlow(seconds));
    }, 1000 * seconds);
    child.once('message', (answer) => {
      settle();
      resolve(answer as Answer);
    });
    child.once('error', ({ message }) => {
      crash(message);
    });
    child.once('exit', (code, signal) => {
      crash(signal ?? `exit code ${code}`);
    });
    child.send(job, (error) => {
      if (error) crash(error.message);
    });
  });
}

function end(child: ChildProcess): void {
  // Ignore whatever else it reports.
  child.on('error', () => undefined);
  child.kill('SIGKILL');
}

export const isolated = new Isolated();

function start(): ChildProcess {
  return fork(fileURLToPath(new URL('./isolated-process.js', import.meta.url)), {
    // It needs none of this process's loaders.
    execArgv: ['--expose-gc'],
    serialization: 'advanced',
    // Ctrl-C reaches every process of the terminal's group. In a group of its own, only the parent decides what it means.
    detached: process.platform !== 'win32',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
}

function failure(answer: Answer, seconds: number): LastlayerError {
  return decodingError('reason' in answer ? answer.reason : 'its decoder gave no answer', seconds);
}

/** @param reason as {@link render} gives it */
export function decodingError(reason: string, seconds: number): LastlayerError {
  return TIMEOUT.test(reason) ? tooSlow(seconds) : new LastlayerError(reason);
}

function tooSlow(seconds: number): LastlayerError {
  return new LastlayerError(`takes longer than ${seconds} s to decode and was given up`);
}
