import { Worker } from 'node:worker_threads';
import { LastlayerError, messageOf } from '../../util/errors.js';
import type { CallContext, Learner } from './learner.js';
import type { PicturesMessage, StateMessage } from './material.js';

/** The methods of {@link Learner} that answer. */
type Method = 'learn' | 'suggestions' | 'compare' | 'queue' | 'findings' | 'acceptPreview' | 'similar' | 'train';
type Argument<M extends Method> = Parameters<Learner[M]>[0];
type Result<M extends Method> = Awaited<ReturnType<Learner[M]>>;

export type ToThread =
  | { kind: 'pictures'; pictures: PicturesMessage }
  | { kind: 'state'; state: StateMessage }
  | { kind: 'call'; call: number; method: Method; argument: unknown }
  | { kind: 'abort'; call: number }
  | { kind: 'close' };

export type FromThread =
  | { kind: 'result'; call: number; result: unknown }
  | { kind: 'aborted'; call: number }
  | { kind: 'error'; call: number; isUsers: boolean; message: string; stack: string }
  | { kind: 'progress'; task: string; done: number; total: number };

interface Waiting {
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
}

const RUNS_FROM_SOURCE = import.meta.url.endsWith('.ts');

/**
 * A {@link Learner} in a thread of its own: its arithmetic blocks the event loop while it computes, and requests are to be answered
 * meanwhile. What is sent is worked on in order, but for `compare` and `train`, which depend on nothing that changes.
 */
export class LearnerThread {
  private readonly worker: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private calls = 0;
  private death: Error | undefined;

  constructor(
    identity: { modelId: string; transformId: string },
    private readonly onProgress: CallContext['onProgress'],
  ) {
    const program = new URL(RUNS_FROM_SOURCE ? 'thread-program.ts' : 'thread-program.js', import.meta.url).href;
    this.worker = new Worker(new URL('thread-start.js', import.meta.url), {
      execArgv: [],
      workerData: { program, identity },
    });
    this.worker.on('message', (message: FromThread) => {
      this.receive(message);
    });
    this.worker.on('error', (error) => {
      this.die(new LastlayerError(`The thread of the classifier died: ${messageOf(error)}.`));
    });
    this.worker.on('exit', (code) => {
      this.die(new LastlayerError(`The thread of the classifier ended with exit code ${code}.`));
    });
  }

  get hasDied(): boolean {
    return this.death !== undefined;
  }

  addPictures(pictures: PicturesMessage): void {
    this.send({ kind: 'pictures', pictures });
  }

  setState(state: StateMessage): void {
    this.send({ kind: 'state', state });
  }

  /**
   * @throws {LastlayerError} if the work fails, or the thread has died
   * @throws the signal's reason, once it aborts and the thread has stopped working on it
   */
  async call<M extends Method>(method: M, argument: Argument<M>, signal?: AbortSignal): Promise<Result<M>> {
    signal?.throwIfAborted();
    if (this.death) throw this.death;
    const call = ++this.calls;
    const abort = () => {
      this.send({ kind: 'abort', call });
    };
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return (await new Promise<unknown>((resolve, reject) => {
        this.waiting.set(call, { resolve, reject });
        this.send({ kind: 'call', call, method, argument });
      })) as Result<M>;
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
      this.waiting.delete(call);
    }
  }

  /** Waits for what is under way, and ends the thread. */
  async close(): Promise<void> {
    if (this.death) return;
    // Not events.once, which rejects if the thread dies instead.
    const exit = new Promise((resolve) => this.worker.once('exit', resolve));
    this.send({ kind: 'close' });
    await exit;
  }

  private send(message: ToThread): void {
    this.worker.postMessage(message);
  }

  private receive(message: FromThread): void {
    if (message.kind === 'progress') {
      this.onProgress(message.task, message.done, message.total);
      return;
    }
    const waiting = this.waiting.get(message.call);
    if (message.kind === 'result') waiting?.resolve(message.result);
    else if (message.kind === 'aborted') waiting?.reject(new Error('aborted'));
    else {
      const error = message.isUsers ? new LastlayerError(message.message) : new Error(message.message);
      if (!message.isUsers) error.stack = message.stack;
      waiting?.reject(error);
    }
  }

  private die(reason: Error): void {
    this.death ??= reason;
    for (const { reject } of this.waiting.values()) reject(this.death);
  }
}
