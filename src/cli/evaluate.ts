import { type Command, Option } from 'commander';
import { Classifier } from '../classify/classifier.js';
import { evaluateDataset, type DatasetEvaluation } from '../classify/evaluate.js';
import type { Split } from '../data/dataset.js';
import type { ViewSet } from '../image/views.js';
import { UsageError } from '../util/errors.js';
import { describeEvaluation } from './describe.js';
import { datasetOrExamples } from './embed.js';
import {
  deviceOption,
  headOption,
  jsonOption,
  type ModelFlags,
  modelOfHeadOption,
  splitOption,
  storeOption,
  threadsOption,
  VIEWS_HELP,
  viewsOption,
  wholeNumber,
} from './options.js';
import { interruptible, Progress } from './progress.js';
import { notice, onOneLine, print, say } from './terminal.js';

interface EvaluateFlags extends ModelFlags {
  head: string;
  store: string;
  split?: Split | undefined;
  topK?: number | undefined;
  views?: ViewSet[] | undefined;
  json?: true | undefined;
}

export const evaluateCommand = (command: Command): Command =>
  command
    .argument('[dataset]', 'as for embed (default: the example pictures)')
    .addOption(headOption())
    .addOption(storeOption())
    .addOption(splitOption('the split to judge on (default: test, else val, else everything)'))
    .addOption(new Option('--top-k <k>', 'k of the top-k accuracy (default: 5)').argParser(wholeNumber))
    .addOption(viewsOption('further views to judge each picture by (default: none)'))
    .addOption(modelOfHeadOption())
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Embeddings that the store has are taken from there; nothing is written to it.

${VIEWS_HELP}
The logits of all views are averaged.

Examples:
  npm run evaluate -- --head head.safetensors ~/photos
  npm run evaluate -- --head head.safetensors ~/photos --split train --json`,
    )
    .action(run);

async function run(
  named: string | undefined,
  { json, split, topK, store, head, views = [], ...flags }: EvaluateFlags,
): Promise<void> {
  const dataset = datasetOrExamples(named, 'npm run evaluate -- FOLDER');
  const classifier = await Classifier.load(head, { ...flags, views, onNotice: notice });
  if (topK !== undefined && classifier.head.kind !== 'softmax') {
    throw new UsageError(
      `--top-k is of heads that give one class a picture, and ${head} gives any number of labels, each from its threshold on. ` +
        'Leave it out; mAP says how well the labels are ranked.',
    );
  }
  const progress = new Progress('evaluating', 'pictures');
  const result = await interruptible(async (signal) => {
    try {
      return await evaluateDataset(classifier, dataset, {
        store,
        split,
        topK,
        signal,
        onProgress: ({ done, total }) => {
          progress.update(done, total);
        },
      });
    } finally {
      progress.stop();
    }
  });
  const { kind, failed, unlabelled, calledUnknown, ...metrics } = result;
  if (failed.length > 0) process.exitCode = 3;
  if (json) {
    print(
      JSON.stringify({
        head,
        dataset,
        split: result.split ?? null,
        views,
        modelId: classifier.backbone.id,
        metrics,
        calledUnknown,
        errors: failed,
        unlabelled,
      }),
    );
    return;
  }
  const name = result.split ? `${dataset}, split ${result.split}` : dataset;
  const { thresholds, unknown } = classifier.head;
  print(describeEvaluation(name, result, { perLabel: true, thresholds, confusion: true, topK: true }));
  if (unknown && calledUnknown) print(describeCalledUnknown(calledUnknown, result));
  if (unlabelled > 0) say(`${unlabelled} pictures without a label are not counted.`);
  for (const { path, error } of failed) say(`unreadable: ${onOneLine(path)}: ${onOneLine(error)}`);
}

function describeCalledUnknown(
  calledUnknown: NonNullable<DatasetEvaluation['calledUnknown']>,
  { count, unknown }: DatasetEvaluation,
): string {
  const others = unknown.reduce((sum, each) => sum + each.count, 0);
  return (
    `called unknown: ${calledUnknown.known} of ${count}` +
    (others > 0 ? `, and ${calledUnknown.others} of ${others} of other classes` : '')
  );
}
