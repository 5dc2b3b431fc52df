import { Classifier } from '../classify/classifier.js';
import { type DatasetEvaluation, evaluateDataset } from '../classify/evaluate.js';
import type { Split } from '../data/dataset.js';
import type { UnknownRate } from '../head/unknown.js';
import type { ViewSet } from '../image/views.js';
import { DEFAULT_HEAD } from '../util/defaults.js';
import { UsageError } from '../util/errors.js';
import { quantity } from '../util/format.js';
import { sum } from '../util/math.js';
import { describeEvaluation } from './describe.js';
import { call, option, sayNext } from './next.js';
import { datasetOrExamples, type ModelFlags } from './options.js';
import { interruptible, Progress } from './progress.js';
import { notice, onOneLine, print, printJson, say } from './terminal.js';

interface EvaluateFlags extends ModelFlags {
  head: string;
  store: string;
  split?: Split | undefined;
  topK?: number | undefined;
  views?: ViewSet[] | undefined;
  unknown?: UnknownRate | undefined;
  json?: true | undefined;
}

export async function run(named: string | undefined, flags: EvaluateFlags): Promise<void> {
  const dataset = datasetOrExamples(named, 'npm run evaluate -- FOLDER');
  const { head, store, split, topK, views = [] } = flags;
  const classifier = await Classifier.load(head, { ...flags, onNotice: notice });
  if (topK !== undefined && classifier.head.kind !== 'softmax') {
    throw new UsageError(
      `--top-k is for heads with one class per picture, and ${head} is a multilabel head. Leave it out; mAP says how well ` +
        'the labels are ranked.',
    );
  }
  const progress = new Progress('evaluating', 'pictures');
  const result = await interruptible(
    (signal) =>
      evaluateDataset(classifier, dataset, {
        store,
        split,
        topK,
        signal,
        onProgress: ({ done, total }) => {
          progress.update(done, total);
        },
      }),
    { displays: [progress] },
  );
  if (result.failed.length > 0) process.exitCode = 3;
  if (flags.json) {
    const { kind, failed: errors, unlabelled, calledUnknown, ...metrics } = result;
    const modelId = classifier.backbone.id;
    printJson({
      head,
      dataset,
      split: result.split ?? null,
      views,
      modelId,
      metrics,
      calledUnknown,
      errors,
      unlabelled,
    });
  } else {
    describe(result, classifier);
    const args = [...option('--head', head, DEFAULT_HEAD), ...option('--model', flags.model)];
    sayNext(
      `${call('predict', ...args, 'PICTURES')} classifies new pictures, and ${call('serve', ...args)} offers a page.`,
    );
  }
}

function describe(result: DatasetEvaluation, { head: { thresholds } }: Classifier): void {
  const { dataset, split, calledUnknown, failed, unlabelled } = result;
  const name = split ? `${dataset}, split ${split}` : dataset;
  print(describeEvaluation(name, result, { perLabel: true, thresholds, confusion: true, topK: true }));
  if (result.kind === 'softmax' && calledUnknown && typeof calledUnknown.rate === 'number') {
    const { rate, right, wrong, others } = calledUnknown;
    const [allRight, allOthers] = [sum(result.confusion.diagonal()), sum(result.unknown.map((each) => each.count))];
    print(
      `unlike the training pictures (typicality below ${rate}): ${right} of ${allRight} right predictions, ` +
        `${wrong} of ${result.count - allRight} wrong ones` +
        (allOthers > 0 ? `, ${others} of ${allOthers} of other classes` : ''),
    );
  }
  if (unlabelled > 0) say(`not counted: ${quantity(unlabelled, 'picture')} without a label`);
  for (const { path, error } of failed) say(`unreadable: ${onOneLine(path)}: ${onOneLine(error)}`);
}
