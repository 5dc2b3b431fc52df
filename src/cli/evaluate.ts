import { type Command, Option } from 'commander';
import { Classifier } from '../classify/classifier.js';
import {
  type DatasetEvaluation,
  evaluateDataset,
  evaluateMultilabelDataset,
  type MultilabelDatasetEvaluation,
} from '../classify/evaluate.js';
import { metricsJson, multilabelMetricsJson } from '../classify/train.js';
import type { Split } from '../data/dataset.js';
import type { ViewSet } from '../image/views.js';
import { UsageError } from '../util/errors.js';
import { describeEvaluation, describeMultilabel } from './describe.js';
import { datasetOrExamples } from './embed.js';
import {
  backboneOptions,
  deviceOption,
  headOption,
  jsonOption,
  type ModelFlags,
  modelOption,
  splitOption,
  storeOption,
  threadsOption,
  VIEWS_HELP,
  viewsOption,
  wholeNumber,
} from './options.js';
import { interruptible } from './progress.js';
import { notice, onOneLine, print, Progress, say } from './terminal.js';

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
    .addOption(modelOption())
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
  const classifier = await Classifier.load(head, { ...backboneOptions(flags), views, onNotice: notice });
  if (topK !== undefined && classifier.head.kind !== 'softmax') {
    throw new UsageError(
      `--top-k is of heads that give one class a picture, and ${head} gives any number of labels, each from its threshold on. ` +
        'Leave it out; mAP says how well the labels are ranked.',
    );
  }
  const progress = new Progress('evaluating', 'images');
  const result = await interruptible(async (signal) => {
    try {
      const options = {
        store,
        split,
        signal,
        onProgress: ({ done, total }: { done: number; total: number }) => {
          progress.update(done, total);
        },
      };
      return classifier.head.kind === 'softmax'
        ? await evaluateDataset(classifier, dataset, { ...options, topK })
        : await evaluateMultilabelDataset(classifier, dataset, options);
    } finally {
      progress.stop();
    }
  });
  const { failed, unlabelled, ...evaluation } = result;
  if (failed.length > 0) process.exitCode = 3;
  if (json) {
    print(
      JSON.stringify({
        head,
        dataset,
        split: result.split ?? null,
        views,
        modelId: classifier.backbone.id,
        ...figuresJson(evaluation),
        errors: failed,
        unlabelled,
      }),
    );
    return;
  }
  const name = result.split ? `${dataset}, split ${result.split}` : dataset;
  if ('perLabel' in result) {
    const { thresholds } = classifier.head;
    print(describeMultilabel(name, result, { perLabel: true, ...(thresholds && { thresholds }) }));
  } else {
    print(describeEvaluation(name, result, { perClass: true, confusion: true, topK: true }));
    if (classifier.head.unknown) print(describeCalledUnknown(result));
  }
  if (unlabelled > 0) say(`${unlabelled} pictures without a label are not counted.`);
  for (const { path, error } of failed) say(`unreadable: ${onOneLine(path)}: ${onOneLine(error)}`);
}

type Figures<Evaluation> = Omit<Evaluation, 'failed' | 'unlabelled'>;

function figuresJson(result: Figures<DatasetEvaluation> | Figures<MultilabelDatasetEvaluation>) {
  if ('perLabel' in result) return { metrics: multilabelMetricsJson(result) };
  const { calledUnknown, ...evaluation } = result;
  return { metrics: metricsJson(evaluation), calledUnknown };
}

function describeCalledUnknown({ calledUnknown, count, unknown }: DatasetEvaluation): string {
  const others = unknown.reduce((sum, each) => sum + each.count, 0);
  return (
    `called unknown: ${calledUnknown.known} of ${count}` +
    (others > 0 ? `, and ${calledUnknown.others} of ${others} of other classes` : '')
  );
}
