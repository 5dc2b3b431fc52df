import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { trainFromStore, trainingJson, type TrainedHead, type TrainOptions } from '../classify/train.js';
import { L2_RULES, type L2Rule } from '../head/cross-validate.js';
import { saveHead } from '../head/file.js';
import type { ViewSet } from '../image/views.js';
import { describeTraining } from './describe.js';
import {
  datasetOption,
  fraction,
  gibibytes,
  jsonOption,
  modelIdOption,
  notNegative,
  readClassWeights,
  storeOption,
  viewsOption,
} from './options.js';
import { FitProgress, interruptible } from './progress.js';
import { notice, print } from './terminal.js';

interface TrainFlags {
  store: string;
  dataset?: string | undefined;
  model?: string | undefined;
  out: string;
  l2?: number | undefined;
  l2Rule: L2Rule;
  folds?: number | undefined;
  holdOut?: number | undefined;
  classWeights: string;
  labelSmoothing: number;
  learningCurve?: true | undefined;
  memory?: number | undefined;
  views?: ViewSet[] | undefined;
  json?: true | undefined;
}

export const trainHeadCommand = (command: Command): Command =>
  command
    .addOption(storeOption())
    .addOption(datasetOption())
    .addOption(modelIdOption())
    .option('--out <file>', 'where to write the head', 'head.safetensors')
    .option('--learning-curve', 'measure what more pictures would bring: accuracy with 10 to 100 % of them')
    .addOption(
      new Option(
        '--class-weights <weights>',
        'none: all pictures count alike; balanced: all classes do; or weights by class, as JSON or a file of it',
      ).default('none'),
    )
    .addOption(
      new Option('--label-smoothing <epsilon>', 'against wrong labels: spread this part over all classes')
        .argParser(fraction)
        .default(0),
    )
    .addOption(
      new Option(
        '--l2 <lambda>',
        'strength of the pull towards small weights (default: chosen by cross-validation)',
      ).argParser(notNegative),
    )
    .addOption(
      new Option(
        '--l2-rule <rule>',
        'best: the least log loss; one-se: the largest lambda within one standard error',
      )
        .choices(L2_RULES)
        .default('best'),
    )
    .addOption(
      new Option(
        '--folds <k>',
        'parts of the cross-validation, 0 for none (default: 5; 3 or 4 where a class is that small)',
      ).argParser(notNegative),
    )
    .addOption(
      new Option(
        '--hold-out <fraction>',
        'where there is no validation split, keep this part of each class for one',
      ).argParser(fraction),
    )
    .addOption(
      new Option(
        '--memory <GiB>',
        'what may be filled (default: what is free); larger data sets are read in blocks',
      ).argParser(gibibytes),
    )
    .addOption(viewsOption('further views to learn from, of those embedded (default: all)'))
    .addOption(jsonOption())
    .addHelpText('after', HELP)
    .action(run);

const HELP = `
No option is needed. The penalty, lambda, is chosen by cross-validation; so are the temperature, which makes
probabilities mean what they say, and the threshold below which predict calls a picture unknown. The head is judged on
the validation split or, where there is none, by cross-validation: each picture by a head that has not seen it. Equal
pictures, and those of one group (a column of the manifest, such as the subject), stay together.

Unknown means: less like any class, by the cosine to the class means, than 95 % of the pictures that the head got right.
That catches most pictures of quite other things, the more the more classes there are; it can not catch a picture that looks
like one of the classes and is something else.

Where the manifest has the column labels, a list of all that a picture shows, each label is told by itself: by a logistic
regression, and from a threshold on, which is chosen by cross-validation for the best F1. Such a head is judged by mAP. No
picture is unknown to it: one of something else shows none of the labels.

Where further views of the pictures are embedded (see embed --views), they are learnt from, too; all views of a picture count
as much as one picture, stay on the same side of every fold, and only the middle of a picture is ever judged by.

Minimises the mean cross-entropy + lambda/2 ‖W‖² by L-BFGS, on standardised features; the scaling is folded back. The
mean is weighted by class, if you say so, and by the manifest's column weight, as scikit-learn's LogisticRegression does
with class_weight and sample_weight. The backbone is frozen: nothing but this layer is trained.

Examples:
  npm run train-head
  npm run train-head -- --learning-curve
  npm run train-head -- --class-weights balanced --out ants-and-bees.safetensors
  npm run train-head -- --class-weights '{"rare": 5}' --label-smoothing 0.1
  npm run train-head -- --l2 0.01 --folds 0
  npm run train-head -- --dataset ~/photos --json`;

async function run({ json, out, classWeights, ...flags }: TrainFlags): Promise<void> {
  const options: TrainOptions = { ...flags, classWeights: await readClassWeights(classWeights) };
  const progress = new FitProgress();
  const trained = await interruptible(async (signal) => {
    try {
      return await trainFromStore({
        ...options,
        signal,
        onNotice: notice,
        onFit: (state) => {
          progress.fit(state);
        },
        onIteration: (state) => {
          progress.iteration(state);
        },
      });
    } finally {
      progress.stop();
    }
  });
  const path = resolve(out);
  await saveHead(path, trained.head);
  if (json) print(JSON.stringify(toJson(trained, path)));
  else {
    print(describeTraining(trained));
    print(`\nThe head is in ${path}`);
  }
}

function toJson(trained: TrainedHead, path: string) {
  const { head, dataset, views, unused } = trained;
  const { kind, labels, modelId, transformId, l2, thresholds, temperature, unknown, counts, training } = head;
  return {
    head: path,
    dataset: dataset.dataset,
    kind,
    labels,
    modelId,
    transformId,
    l2,
    thresholds,
    temperature,
    unknownThreshold: unknown?.threshold ?? null,
    counts,
    training,
    views,
    ...trainingJson(trained),
    unused,
  };
}
