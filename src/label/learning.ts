import { setImmediate as nextTurn } from 'node:timers/promises';
import { Mutex } from 'async-mutex';
import { LEAST_PICTURES } from '../head/task.js';
import { HttpError } from '../server/errors.js';
import { messageOf } from '../util/errors.js';
import type { QueueRequest } from './learn/learner.js';
import { LearnerThread } from './learn/thread.js';
import { verdictOf } from './learn/verdict.js';
import { FINGERPRINT, type LabelPictures } from './pictures.js';
import type { AcceptPreview, ClassifierState, FindingsAnswer, Queue, SimilarAnswer, Suggestions } from './protocol.js';
import type { LabelState } from './state.js';

/** Learning begins this long after the last change, in ms, so that a burst of them is learnt at once. */
const AFTER = 120;

/** A fit that a change makes out of date is given up, unless nothing was learnt for so long, in ms. */
const AT_LATEST = 2000;

/** Pictures of a message to the thread. */
const PICTURES_AT_A_TIME = 2048;

interface LearningOptions {
  pictures: LabelPictures;
  state: LabelState;
  /** The backbone that made the embeddings. */
  identity: { modelId: string; transformId: string };
  /** The number of the last change. */
  seq: () => number;
  /** Whether there are too few labels for any head, so that no thread is needed to tell. */
  isWaiting: () => boolean;
  onClassifier: (classifier: ClassifierState) => void;
  onProgress: (task: string, done: number, total: number) => void;
  onFailure: (message: string) => void;
}

/** Keeps the classifier up to date with the labels, and asks it. */
export class Learning {
  private current: ClassifierState;
  private started: LearnerThread | undefined;
  private readonly stopping = new AbortController();
  private readonly sending = new Mutex();
  private sent = { pictures: 0, values: 0, seq: -1 };
  private due: NodeJS.Timeout | undefined;
  private fit: { controller: AbortController; done: Promise<void> } | undefined;
  /** Whether something has changed since the fit began. */
  private isOutdated = false;
  private lastLearnt = Date.now();

  constructor(private readonly options: LearningOptions) {
    this.current = {
      status: 'waiting',
      version: 0,
      seq: 0,
      trainedOn: 0,
      evaluation: undefined,
      history: [],
      ...this.beforeLearning(),
    };
  }

  /** What to do before anything can be learnt. */
  private beforeLearning() {
    const { classes, multilabel } = this.options.state;
    const tooFew = this.options.state.classInfo().filter(({ count, removed }) => !removed && count < LEAST_PICTURES);
    return verdictOf({
      history: [],
      evaluation: undefined,
      counts: [],
      classes,
      multilabel,
      tooFew: tooFew.map(({ name }) => name),
    });
  }

  private get thread(): LearnerThread {
    this.stopping.signal.throwIfAborted();
    if (this.started && !this.started.hasDied) return this.started;
    this.sent = { pictures: 0, values: 0, seq: -1 };
    this.started = new LearnerThread(this.options.identity, this.options.onProgress);
    return this.started;
  }

  get classifier(): ClassifierState {
    return this.current;
  }

  /** Has the classifier learn, soon, from what has changed. */
  changed(): void {
    if (this.stopping.signal.aborted) return;
    if (this.fit && Date.now() - this.lastLearnt < AT_LATEST) this.fit.controller.abort();
    clearTimeout(this.due);
    this.due = setTimeout(() => {
      this.learn();
    }, AFTER);
  }

  async suggestions(): Promise<Suggestions> {
    return this.thread.call('suggestions', undefined);
  }

  async queue(request: QueueRequest): Promise<Queue> {
    await this.send();
    const { signal } = this.stopping;
    if (['doubtful', 'duplicates', 'odd'].includes(request.name)) await this.thread.call('compare', undefined, signal);
    return this.thread.call('queue', request, signal);
  }

  async findings(): Promise<FindingsAnswer> {
    await this.send();
    const { signal } = this.stopping;
    await this.thread.call('compare', undefined, signal);
    return this.thread.call('findings', undefined, signal);
  }

  async acceptPreview(options: { above: number; label?: string | undefined }): Promise<AcceptPreview> {
    await this.send();
    return this.thread.call('acceptPreview', options);
  }

  /** @throws {HttpError} 422 if the picture cannot be read */
  async similar(picture: number, count: number): Promise<SimilarAnswer> {
    const problem = this.options.pictures.problems[picture];
    if (problem) throw new HttpError(422, 'unreadable_picture', problem);
    await this.send();
    return this.thread.call('similar', { picture, count }, this.stopping.signal);
  }

  /** Trains a head on a data set of the store, and writes it; see {@link Learner.train}. */
  async train(
    argument: { store: string; dataset: string; model: string; head: string },
    signal: AbortSignal | undefined,
  ): Promise<{ accuracy: number | undefined }> {
    return this.thread.call('train', argument, signal);
  }

  /** Gives up what is under way, and ends the thread. */
  async close(): Promise<void> {
    clearTimeout(this.due);
    this.stopping.abort(new HttpError(503, 'stopping', 'The server is stopping.'));
    this.fit?.controller.abort();
    await this.fit?.done;
    await this.started?.close();
  }

  private learn(): void {
    // One fit at a time: what has changed meanwhile is learnt at its end.
    if (this.fit) {
      this.isOutdated = true;
      return;
    }
    if (this.stopping.signal.aborted) return;
    if (!this.started && this.options.isWaiting()) {
      this.tell({ ...this.current, seq: this.options.seq(), ...this.beforeLearning() });
      return;
    }
    this.isOutdated = false;
    const controller = new AbortController();
    const done = this.run(controller.signal).then(() => {
      this.fit = undefined;
      if (this.isOutdated) this.learn();
    });
    this.fit = { controller, done };
  }

  /** Never rejects. */
  private async run(signal: AbortSignal): Promise<void> {
    const isFirst = this.current.status === 'waiting';
    this.tell({ ...this.current, status: isFirst ? 'waiting' : 'learning' });
    try {
      await this.send();
      const classifier = await this.thread.call('learn', undefined, signal);
      this.lastLearnt = Date.now();
      this.tell(classifier);
    } catch (error) {
      if (signal.aborted) return;
      this.tell({ ...this.current, status: isFirst ? 'waiting' : 'ready' });
      this.options.onFailure(`The classifier cannot learn: ${messageOf(error)}`);
    }
  }

  private tell(classifier: ClassifierState): void {
    this.current = classifier;
    this.options.onClassifier(classifier);
  }

  /** Sends the learner what it does not have: pictures in parts, so that requests are answered in between. */
  private send(): Promise<void> {
    return this.sending.runExclusive(async () => {
      const { pictures, state, seq } = this.options;
      let { thread } = this;
      while (this.sent.pictures < pictures.size) {
        const from = this.sent.pictures;
        const to = Math.min(from + PICTURES_AT_A_TIME, pictures.size);
        thread.addPictures({
          embeddings: pictures.embeddings,
          width: pictures.width,
          paths: pictures.paths.slice(from, to),
          digests: pictures.digests.slice(from, to),
          widths: pictures.widths.slice(from, to),
          heights: pictures.heights.slice(from, to),
          problems: pictures.problems.slice(from, to),
          fingerprints: pictures.fingerprints.slice(FINGERPRINT * from, FINGERPRINT * to),
        });
        this.sent = { ...this.sent, pictures: to, seq: -1 };
        await nextTurn();
        // Another one, if it has died: it gets everything anew.
        ({ thread } = this);
      }
      const { sent } = this;
      if (seq() === sent.seq) return;
      const values = state.valuesFrom(sent.values);
      thread.setState({
        seq: seq(),
        valueOf: state.valueOf.slice(),
        values,
        multilabel: state.multilabel,
        classes: state.classes.map((each) => ({ ...each })),
      });
      this.sent = { ...sent, values: sent.values + values.length, seq: seq() };
    });
  }
}
