import { parentPort, workerData } from 'node:worker_threads';
import { LastlayerError, messageOf } from '../../util/errors.js';
import { type CallContext, Learner } from './learner.js';
import type { FromThread, ToThread } from './thread.js';

// The learner's side of `LearnerThread`.

const port = parentPort!;
const { identity } = workerData as { identity: ConstructorParameters<typeof Learner>[0] };
const learner = new Learner(identity);
const controllers = new Map<number, AbortController>();
const underWay = new Set<Promise<void>>();
let last: Promise<void> = Promise.resolve();

port.on('message', (message: ToThread) => {
  if (message.kind === 'abort') controllers.get(message.call)?.abort();
  else if (message.kind === 'pictures') {
    inTurn(() => {
      learner.addPictures(message.pictures);
    });
  } else if (message.kind === 'state') {
    inTurn(() => {
      learner.setState(message.state);
    });
  } else if (message.kind === 'close') inTurn(close);
  else if (message.method === 'compare' || message.method === 'train') void answer(message);
  else inTurn(answer(message, last));
});

function inTurn(work: Promise<void> | (() => Promise<void> | void)): void {
  last = typeof work === 'function' ? last.then(work) : work;
}

async function close(): Promise<void> {
  await Promise.all(underWay);
  await learner.close();
  port.close();
}

/** Never rejects. @param after what to wait for first */
function answer({ call, method, argument }: ToThread & { kind: 'call' }, after?: Promise<void>): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  controllers.set(call, controller);
  const context: CallContext = {
    signal,
    onProgress: (task, done, total) => {
      send({ kind: 'progress', task, done, total });
    },
  };
  const work = async () => {
    await after;
    try {
      signal.throwIfAborted();
      const run = learner[method].bind(learner) as (argument: unknown, context: CallContext) => Promise<unknown>;
      send({ kind: 'result', call, result: await run(argument, context) });
    } catch (error) {
      const stack = error instanceof Error ? (error.stack ?? '') : '';
      if (signal.aborted) send({ kind: 'aborted', call });
      else send({ kind: 'error', call, isUsers: error instanceof LastlayerError, message: messageOf(error), stack });
    }
    controllers.delete(call);
  };
  const running = work().finally(() => underWay.delete(running));
  underWay.add(running);
  return running;
}

function send(message: FromThread): void {
  port.postMessage(message);
}
