import type { Backbone } from '../backbone/backbone.js';
import { type BackboneOptions, loadBackbone } from '../backbone/load.js';
import { passedOver } from '../data/dataset.js';
import { embedDataset } from '../embed/embed.js';
import type { PipelineOptions } from '../embed/pipeline.js';
import { quantity } from '../util/format.js';
import { Classifier, pathOf } from './classifier.js';
import { trainFromStore, type TrainOptions } from './train.js';

/** Options of {@link train}: those of the backbone, of embedding and of training. None is needed. */
export interface TrainClassifierOptions
  extends
    BackboneOptions,
    Pick<PipelineOptions, 'batchSize' | 'concurrency' | 'pool'>,
    Omit<TrainOptions, 'dataset' | 'model' | 'onIteration' | 'onFit' | 'onNotice'> {
  /** The file to write the head to, replacing an earlier one. @default none; `classifier.save` writes it, too */
  out?: string | URL | undefined;
  /** The backbone, if it is loaded already. @default the one of `model` */
  backbone?: Backbone | undefined;
  onProgress?: ((progress: TrainProgress) => void) | undefined;
}

/** How far {@link train} is. */
export interface TrainProgress {
  /** The data set is listed, then its pictures are embedded, then the head is trained. */
  phase: 'scan' | 'embed' | 'train';
  /** Pictures, or fits of cross-validation. */
  done: number;
  /** While it trains, an estimate. */
  total: number;
}

/**
 * Trains a classifier on the pictures of a data set: embeds those that are not in the store yet, chooses the penalty and the
 * temperature by cross-validation, and evaluates the head on pictures that it has not seen, see {@link Classifier.evaluation}. The
 * pictures that cannot be read, and what else was passed over, are told to `onNotice`.
 * @param dataset a folder with a folder for each class, or one of train, val and test folders, a manifest or another data set, as for
 *   `lastlayer embed`
 * @throws {LastlayerError} if the data set, the store or the model cannot be used, there is nothing to train on, or the head cannot be
 *   written; `code` says which
 * @throws {UsageError} if an option is out of range
 * @throws the signal's reason, once it aborts; what is embedded by then is in the store, and the next call goes on from there
 */
export async function train(dataset: string | URL, options: TrainClassifierOptions = {}): Promise<Classifier> {
  const { backbone = await loadBackbone(options), out, onProgress, onNotice, ...others } = options;
  const { batchSize, concurrency, pool, store, views, signal } = others;
  signal?.throwIfAborted();
  const embedded = await embedDataset(pathOf(dataset), {
    backbone,
    batchSize,
    concurrency,
    pool,
    store,
    views,
    signal,
    onProgress: ({ phase, done, total }) => onProgress?.({ phase, done, total }),
  });
  const { failed, total, skipped } = embedded;
  if (failed > 0) onNotice?.(`${failed} of ${quantity(total, 'picture')} cannot be read, and are not trained on.`);
  for (const text of skipped.remarks) onNotice?.(text);
  if (skipped.count > 0) onNotice?.(passedOver(skipped));
  const { head } = await trainFromStore({
    ...others,
    store: embedded.store,
    dataset: embedded.dataset,
    model: embedded.modelId,
    onNotice,
    onFit: ({ fits, left }) => onProgress?.({ phase: 'train', done: fits, total: fits + left }),
  });
  const classifier = new Classifier(backbone, head);
  if (out !== undefined) await classifier.save(out);
  return classifier;
}
