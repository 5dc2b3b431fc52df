import { checkData } from '../check/check-data.js';
import { compareClassifiers, type Comparison, loadCompared } from '../classify/compare.js';
import { loadHead } from '../head/file.js';
import type { Head } from '../head/head.js';
import { withDatasetEmbeddings, type DatasetEmbeddings, type Selection } from '../store/dataset-rows.js';
import { LastlayerError } from '../util/errors.js';
import { time } from '../util/format.js';
import { ort } from '../util/onnxruntime.js';
import { ownVersion } from '../util/version.js';
import { shownChanges } from './comparison.js';
import { mapEmbeddings } from './embedding-map.js';
import { evaluateForReport } from './evaluate.js';
import { explainPictures } from './explained.js';
import { page } from './page.js';
import { choosePictures, makeThumbnails, pathsOf, PictureFiles } from './pictures.js';
import { shownFindings } from './sections.js';

export interface ReportOptions extends Omit<Selection, 'model'> {
  /** The head's file. */
  head: string;
  /** The file of a head to compare it with, on the same data set, see `compareClassifiers`. */
  compare?: string | undefined;
  /** Folder that the report will lie in, for links to the pictures. @default no links */
  folder?: string | undefined;
  /** Whether to show where the classes were seen, in mistakes and the least certain pictures. It runs the backbone. @default true */
  explain?: boolean | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((state: string) => void) | undefined;
}

export interface Report {
  /** One HTML file. */
  html: string;
  /** Of a softmax head. */
  accuracy?: number | null | undefined;
  /** Of a multilabel head. */
  meanAveragePrecision?: number | null | undefined;
  /** Pictures that the head was evaluated on. */
  count: number;
  /** What these pictures are, in words. */
  evaluatedOn: string;
  /** What {@link checkData} found. */
  findings: number;
  /** With the other head, if there is one. */
  comparison?: Comparison | undefined;
}

/**
 * Makes a report on a head: how good it is on the validation split (or, if there is none, by cross-validation), where it
 * fails, and what may be wrong with the data. All predictions are computed from the stored embeddings.
 * @throws {LastlayerError} if the head cannot be read, or does not fit the embeddings in the store; if there is another one and
 *   the two cannot be compared
 * @throws the signal's reason, once it aborts
 */
export async function makeReport(options: ReportOptions): Promise<Report> {
  const { head: file, compare, folder, explain = true, store, signal, onProgress, ...rest } = options;
  const head = await loadHead(file);
  return withDatasetEmbeddings({ ...rest, store, model: head.modelId }, async (stored) => {
    const { record, source } = stored;
    checkFits(file, head, stored);
    onProgress?.('evaluating the head');
    const evaluation = await evaluateForReport(stored, head, signal);
    const shown = choosePictures(evaluation, head.labels.length);
    const comparison = compare === undefined ? undefined : await compareWith(compare, options, record.dataset);
    onProgress?.('mapping the embeddings');
    const mapped = shown.map.map(({ row }) => row);
    const maps = await mapEmbeddings(source, mapped);
    signal?.throwIfAborted();
    const check = await checkData({
      store,
      dataset: record.dataset,
      model: record.model_id,
      signal,
      onProgress: ({ phase, done, total }) => {
        onProgress?.(`checking the data: ${phase}, ${done}${total === undefined ? '' : ` of ${total}`}`);
      },
    });
    const found = shownFindings(check).flatMap(({ path, related }) =>
      related === undefined ? [path] : [path, related],
    );
    const changed = comparison ? shownChanges(comparison).map(({ path }) => path) : [];
    const paths = pathsOf(shown);
    const inGalleries = [...paths.inGalleries, ...found, ...changed];
    const thumbnails = await makeThumbnails({ inGalleries, others: paths.others }, signal, (done, total) => {
      onProgress?.(`thumbnails, ${done} of ${total}`);
    });
    const explained = explain
      ? await explainPictures(file, head, shown, {
          signal,
          onProgress: (done, total) => {
            onProgress?.(`where the classes were seen, ${done} of ${total}`);
          },
        })
      : undefined;
    if (explained && 'reason' in explained) {
      options.onNotice?.(`The report does not show where the classes were seen. ${explained.reason}`);
    }
    const files = new PictureFiles(thumbnails, record.dataset, folder);
    const about: [string, string][] = [
      ['data set', `${record.dataset} (${record.layout})`],
      ['report made', time(new Date().toISOString())],
      [
        'versions',
        `lastlayer ${await ownVersion()}, onnxruntime ${ort.env.versions.common}, Node ${process.versions.node}`,
      ],
    ];
    const { result } = evaluation;
    return {
      html: await page({
        head,
        evaluation,
        comparison,
        shown,
        maps,
        check,
        files,
        explained,
        inGalleries: new Set(inGalleries),
        about,
      }),
      accuracy: 'accuracy' in result ? result.accuracy : undefined,
      meanAveragePrecision: 'meanAveragePrecision' in result ? result.meanAveragePrecision : undefined,
      count: result.count,
      evaluatedOn: evaluation.on,
      findings: check.findings.length,
      comparison,
    };
  });
}

async function compareWith(
  other: string,
  { head, store, signal, onNotice, onProgress }: ReportOptions,
  dataset: string,
): Promise<Comparison> {
  return compareClassifiers(await loadCompared(other, head, { onNotice }), {
    dataset,
    store,
    signal,
    onNotice,
    onProgress: ({ done, total }) => {
      onProgress?.(`comparing the heads, ${done} of ${total}`);
    },
  });
}

/** @throws {LastlayerError} if the embeddings are others than those the head was trained on */
function checkFits(file: string, head: Head, { record, multilabel }: DatasetEmbeddings): void {
  if (record.transform_id !== head.transformId) {
    throw new LastlayerError(
      `The head ${file} was trained on pictures transformed by ${head.transformId}, and ${record.dataset} was embedded by ` +
        `${record.transform_id}. Train the head again.`,
    );
  }
  if ((head.kind === 'multilabel') !== multilabel) {
    const predicts = head.kind === 'multilabel' ? 'any number of labels' : 'one class';
    throw new LastlayerError(
      `The head ${file} predicts ${predicts} per picture, and the pictures of ${record.dataset} have ` +
        `${multilabel ? 'lists of labels' : 'one label each'}. Name the data set that it was trained on with --dataset.`,
    );
  }
}
