import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import pLimit from 'p-limit';
import { LastlayerError } from '../util/errors.js';
import type { Answer, Job } from './isolated-process.js';
import { type Header, type Recipe, TIMEOUT } from './render.js';

/**
 * Decodes in a separate process, one picture at a time: for pictures that might take any amount of time or memory, as no limit
 * holds inside a decoder. A process that takes too long or crashes loses only its picture; the next picture gets a new process.
 * The process starts when it is first needed, and does not keep this one alive.
 */
class Isolated {
  private readonly limit = pLimit(1);
  private process: ChildProcess | undefined;

  /** @throws {LastlayerError} as {@link render} does */
  async header(image: Uint8Array, seconds: number): Promise<Header> {
    const answer = await this.limit(() => this.answer({ image, recipe: undefined }, seconds));
    if ('header' in answer) return answer.header;
    throw failure(answer, seconds);
  }

  /**
   * @returns interleaved RGB bytes
   * @throws {LastlayerError} if the picture cannot be read, takes too long, or crashes the process
   */
  async render(image: Uint8Array, recipe: Recipe): Promise<Uint8Array> {
    const answer = await this.limit(() => this.answer({ image, recipe }, recipe.seconds));
    if ('pixels' in answer) return answer.pixels;
    throw failure(answer, recipe.seconds);
  }

  private answer(job: Job, seconds: number): Promise<Answer> {
    if (!this.process?.connected) this.process = start();
    const child = this.process;
    child.ref();
    child.channel?.ref();
    return new Promise<Answer>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(tooSlow(seconds));
        this.discard(child);
      }, 1000 * seconds);
      const settle = () => {
        clearTimeout(timer);
        child.removeAllListeners();
      };
      child.once('message', (answer) => {
        settle();
        resolve(answer as Answer);
        child.unref();
        child.channel?.unref();
      });
      const die = (how: string) => {
        settle();
        reject(new LastlayerError(`crashed its decoder (${how})`));
        this.discard(child);
      };
      child.once('error', ({ message }) => {
        die(message);
      });
      child.once('exit', (code, signal) => {
        die(signal ?? `exit code ${code}`);
      });
      child.send(job, (error) => {
        if (error) die(error.message);
      });
    });
  }

  private discard(child: ChildProcess): void {
    child.removeAllListeners();
    // Ignore whatever else it reports.
    child.on('error', () => undefined);
    child.kill('SIGKILL');
    if (this.process === child) this.process = undefined;
  }
}

export const isolated = new Isolated();

function start(): ChildProcess {
  return fork(fileURLToPath(new URL('./isolated-process.js', import.meta.url)), {
    // It needs none of this process's loaders.
    execArgv: [],
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
