import { saveHead } from '../../head/file.js';
import { trainFromStore } from '../../classify/train.js';
import type {
  AcceptPreview,
  ClassifierState,
  FindingsAnswer,
  Queue,
  QueueName,
  SimilarAnswer,
  Suggestions,
} from '../protocol.js';
import { acceptPreview, acceptQueue } from '../queues/accept.js';
import { clusterQueue } from '../queues/clusters.js';
import { FindingQueues } from '../queues/findings.js';
import { nextQueue } from '../queues/next.js';
import { similarTo } from '../queues/similar.js';
import { LabelClassifier, type SuggestionColumns } from './classifier.js';
import { Material, type PicturesMessage, type StateMessage } from './material.js';

/** Handed on with each call. */
export interface CallContext {
  signal: AbortSignal;
  onProgress: (task: string, done: number, total: number) => void;
}

export interface QueueRequest {
  name: QueueName;
  above: number;
  label?: string | undefined;
  count: number;
}

/** Everything that takes long: the classifier, the queues and the final head. It runs in a thread of its own, see {@link LearnerThread}. */
export class Learner {
  private readonly material = new Material();
  private readonly classifier: LabelClassifier;
  private readonly checks = new FindingQueues(this.material);

  /** @param identity of the backbone that made the embeddings */
  constructor(identity: { modelId: string; transformId: string }) {
    this.classifier = new LabelClassifier(this.material, identity);
  }

  addPictures(message: PicturesMessage): void {
    this.material.addPictures(message);
  }

  setState(message: StateMessage): void {
    this.material.setState(message);
  }

  /** Learns from the labels as they are. */
  async learn(_: undefined, { signal }: CallContext): Promise<ClassifierState> {
    await this.classifier.learn(signal);
    return this.classifier.state;
  }

  suggestions(): Promise<Suggestions> {
    const { suggestions, state } = this.classifier;
    const text = (name: keyof SuggestionColumns) => {
      const column = suggestions?.[name];
      return column ? Buffer.from(column.buffer, column.byteOffset, column.byteLength).toString('base64') : '';
    };
    return Promise.resolve({
      version: state.version,
      ...{ best: text('best'), probability: text('probability') },
      ...{ second: text('second'), secondProbability: text('secondProbability') },
    });
  }

  /** Does what the queues of findings need first, and what takes longest of them. */
  async compare(_: undefined, { signal, onProgress }: CallContext): Promise<void> {
    await this.checks.prepare({
      signal,
      onProgress: (done, total) => {
        onProgress('comparing pictures', done, total);
      },
    });
  }

  async queue({ name, above, label, count }: QueueRequest, { signal }: CallContext): Promise<Queue> {
    const { material, classifier } = this;
    const { suggestions, state } = classifier;
    const graph = await classifier.arithmetic();
    const content = async () => {
      if (name === 'next') return nextQueue(material, graph, suggestions, count, signal);
      if (name === 'clusters') return clusterQueue(material, graph, suggestions, signal);
      if (name === 'accept') return acceptQueue(material, suggestions, { above, label, count });
      return this.checks.queue(name, count, signal);
    };
    return { name, version: suggestions ? state.version : 0, ...(await content()) };
  }

  findings(_: undefined, { signal }: CallContext): Promise<FindingsAnswer> {
    return this.checks.all(signal);
  }

  acceptPreview(options: { above: number; label?: string | undefined }): Promise<AcceptPreview> {
    const { suggestions, state } = this.classifier;
    const { version } = state;
    if (suggestions) return Promise.resolve({ version, ...acceptPreview(this.material, suggestions, options) });
    return Promise.resolve({ version: 0, above: options.above, count: 0, expectedError: 0, sample: [], groups: [] });
  }

  async similar(
    { picture, count }: { picture: number; count: number },
    { signal }: CallContext,
  ): Promise<SimilarAnswer> {
    return similarTo(this.material, await this.classifier.arithmetic(), picture, count, signal);
  }

  /** Trains a head on a data set of the store as `train-head` does, and writes it. */
  async train(
    { store, dataset, model, head }: { store: string; dataset: string; model: string; head: string },
    { signal, onProgress }: CallContext,
  ): Promise<{ accuracy: number | undefined }> {
    const trained = await trainFromStore({
      ...{ store, dataset, model, signal },
      onFit: ({ fits, left }) => {
        onProgress('training the head', fits, fits + left);
      },
    });
    await saveHead(head, trained.head);
    const { validation, kind } = trained;
    return { accuracy: (kind === 'softmax' ? validation?.accuracy : validation?.meanAveragePrecision) ?? undefined };
  }

  async close(): Promise<void> {
    await this.classifier.release();
  }
}
