import * as ort from 'onnxruntime-node';
import { checkData, type DataCheck } from '../check/check-data.js';
import { ISSUES } from '../check/finding.js';
import { loadHead } from '../head/file.js';
import { type DatasetEmbeddings, type Selection, withDatasetEmbeddings } from '../store/dataset-rows.js';
import { DEFAULT_STORE } from '../store/store.js';
import { LastlayerError } from '../util/errors.js';
import { ownVersion } from '../util/version.js';
import { mapEmbeddings } from './embedding-map.js';
import { judgeSets } from './judged-sets.js';
import { judgePictures } from './judged.js';
import { page } from './page.js';
import { FINDINGS_SHOWN } from './sections.js';
import { choosePictures, type Shown } from './selection.js';
import { setsPage } from './sets-page.js';
import { chooseSets, pathsOfSets } from './sets-selection.js';
import { Thumbnails } from './thumbnails.js';
import { time } from '../util/text.js';

export interface ReportOptions extends Omit<Selection, 'model'> {
  /** File of the head. */
  head: string;
  signal?: AbortSignal | undefined;
  onProgress?: ((state: string) => void) | undefined;
}

export interface Report {
  /** One HTML file. */
  html: string;
  /** Of a head of one class a picture. */
  accuracy?: number | null | undefined;
  /** mAP, of a head of any number of labels. */
  meanAveragePrecision?: number | null | undefined;
  /** Pictures that it was judged on. */
  count: number;
  /** What they are, in words. */
  judgedOn: string;
  findings: number;
}

/**
 * Makes a report on a head: how good it is on the validation split (or, where there is none, by cross-validation), where it
 * fails, and what may be wrong with the data. Predictions are computed anew from the stored embeddings.
 * @throws {LastlayerError} where the head cannot be read, or the store has no embeddings of its network
 * @throws the signal's reason, once it aborts
 */
export async function makeReport(options: ReportOptions): Promise<Report> {
  const { store = DEFAULT_STORE, signal, onProgress, ...rest } = options;
  const head = await loadHead(options.head);
  const selection = { ...rest, store, model: head.modelId };
  return withDatasetEmbeddings(selection, async (stored) => {
    const { record } = stored;
    if (record.transform_id !== head.transformId) {
      throw new LastlayerError(
        `The head ${options.head} was trained on pictures transformed by ${head.transformId}, and ${record.dataset} was embedded ` +
          `by ${record.transform_id}. Train the head anew.`,
      );
    }
    if ((head.kind === 'multilabel') !== stored.multilabel) {
      throw new LastlayerError(
        `The head ${options.head} gives ${head.kind === 'multilabel' ? 'any number of labels' : 'one class'} a picture, and the ` +
          `pictures of ${record.dataset} have ${stored.multilabel ? 'lists of labels' : 'one label each'}. Name the data set ` +
          `that it was trained on with --dataset.`,
      );
    }
    const progress = { signal, onProgress };
    const look = async (mapped: readonly { row: number }[], paths: Iterable<string>) =>
      surroundings(stored, store, mapped, paths, progress);
    onProgress?.('predicting');
    if (head.kind === 'multilabel') {
      const judged = await judgeSets(stored, head, signal);
      const shown = chooseSets(judged.pictures, head.labels.length);
      const around = await look(shown.map, pathsOfSets(shown));
      const { meanAveragePrecision, count } = judged.evaluation;
      return {
        html: await setsPage({ head, judged, shown, ...around }),
        meanAveragePrecision,
        count,
        judgedOn: judged.on,
        findings: around.check.findings.length,
      };
    }
    const judged = await judgePictures(stored, head, signal);
    const shown = choosePictures(judged.pictures);
    const around = await look(shown.map, pathsOf(shown));
    const { accuracy, count } = judged.evaluation;
    return {
      html: await page({ head, judged, shown, ...around }),
      accuracy,
      count,
      judgedOn: judged.on,
      findings: around.check.findings.length,
    };
  });
}

/** All of a page that does not depend on the head's kind. */
async function surroundings(
  { record, source }: DatasetEmbeddings,
  store: string,
  mapped: readonly { row: number }[],
  shown: Iterable<string>,
  { signal, onProgress }: Pick<ReportOptions, 'signal' | 'onProgress'>,
) {
  onProgress?.('drawing the map');
  const maps = await mapEmbeddings(source, mapped.map(({ row }) => row)); // prettier-ignore
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
  const thumbnails = new Thumbnails();
  await thumbnails.add([...shown, ...pathsOfFindings(check)], signal, (done, total) => {
    onProgress?.(`thumbnails, ${done} of ${total}`);
  });
  const facts = await factsOf(record.dataset, record.layout);
  return { dataset: record.dataset, maps, check, thumbnails, facts };
}

function* pathsOf({ mistakes, uncertain, cells, map }: Shown): Generator<string> {
  for (const pictures of [mistakes, uncertain, ...cells.values(), map]) {
    for (const { path } of pictures) yield path;
  }
}

function* pathsOfFindings({ findings }: DataCheck): Generator<string> {
  for (const issue of ISSUES) {
    for (const { path, related } of findings
      .filter((each) => each.issue === issue)
      .slice(0, FINDINGS_SHOWN)) {
      yield path;
      if (related !== undefined) yield related;
    }
  }
}

async function factsOf(dataset: string, layout: string): Promise<[string, string][]> {
  return [
    ['data set', `${dataset} (${layout})`],
    ['made', time(new Date().toISOString())],
    [
      'versions',
      `lastlayer ${await ownVersion()}, onnxruntime ${ort.env.versions.common}, Node ${process.versions.node}`,
    ],
  ];
}
