import { type Command, Option } from 'commander';
import { L2_RULES } from '../../head/choose-l2.js';
import { DEFAULT_HEAD } from '../../util/defaults.js';
import { lazily } from '../../util/lazily.js';
import {
  completedBy,
  datasetOption,
  fraction,
  gibibytes,
  jsonOption,
  modelIdOption,
  notNegative,
  storeOption,
  unknownOption,
  viewsOption,
} from '../options.js';

export const trainHeadCommand = (command: Command): Command =>
  command
    .addOption(storeOption())
    .addOption(datasetOption())
    .addOption(modelIdOption())
    .option('--out <file>', 'where to write the head', DEFAULT_HEAD)
    .option('--learning-curve', 'also train on 10 to 100 % of the pictures, to see whether more would help')
    .addOption(
      completedBy(
        () => ['none', 'balanced'],
        new Option(
          '--class-weights <name|json|file>',
          'none, balanced (all classes count alike), or weights by class, as JSON or a JSON file',
        ).default('none'),
      ),
    )
    .addOption(
      new Option('--label-smoothing <epsilon>', 'fraction to spread over all classes, against wrong labels')
        .argParser(fraction)
        .default(0),
    )
    .addOption(
      new Option('--l2 <lambda>', 'penalty on large weights (default: chosen by cross-validation)').argParser(
        notNegative,
      ),
    )
    .addOption(
      new Option(
        '--l2-rule <rule>',
        'best: the lambda of least log loss; one-se: the largest within one standard error of it',
      )
        .choices(L2_RULES)
        .default('best'),
    )
    .addOption(
      new Option(
        '--folds <k>',
        'folds of cross-validation, 0 for none (default: 5, or 3 or 4 if a class is that small)',
      ).argParser(notNegative),
    )
    .addOption(
      new Option(
        '--hold-out <fraction>',
        'fraction of each class to hold out, if there is no validation split',
      ).argParser(fraction),
    )
    .addOption(
      new Option(
        '--memory <GiB>',
        'memory to fill; larger data sets are read in blocks (default: what is free)',
      ).argParser(gibibytes),
    )
    .addOption(unknownOption('0.05'))
    .addOption(viewsOption('augmented views to train on', 'all that are embedded'))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
No option is needed. Cross-validation chooses the penalty lambda and the temperature, which calibrates the probabilities, and
finds how typical the pictures are that the head gets right. The head is evaluated on the validation split or, if there is none, by
cross-validation: each picture by a head that has not seen it. Identical pictures, and those of one group (a column of the
manifest, such as the subject), stay together.

With --unknown 0.05, the default, predict says that a picture is unlike the training pictures where fewer than 5 % of the
training pictures that the head got right are less typical. About as many of the pictures that are predicted right are flagged.
The rate can be changed later: predict, evaluate and serve take --unknown too. It catches most pictures of entirely different
things, but not something that looks like one of the classes.

If the manifest has the column labels, a list per picture, the head is a multilabel one: a logistic regression per label, each
with the threshold that gives the best F1 in cross-validation. It is scored by mAP. It takes no --unknown: a picture of
something else simply gets no label.

If augmented views are embedded (see embed --views), they are trained on too. The views of a picture together count as one
picture and stay in the same fold. Evaluation uses the center crop alone.

Training minimises the mean cross-entropy + lambda/2 ‖W‖² by L-BFGS on half-whitened features (docs/training.md), and folds
the whitening back into the weights. Class weights and the manifest's column weight work like class_weight and sample_weight
of scikit-learn's LogisticRegression. The backbone is frozen: only this layer is trained.

Examples:
  npm run train-head
  npm run train-head -- --learning-curve
  npm run train-head -- --class-weights balanced --out ants-and-bees.safetensors
  npm run train-head -- --class-weights '{"rare": 5}' --label-smoothing 0.1
  npm run train-head -- --l2 0.01 --folds 0
  npm run train-head -- --dataset ~/photos --json`,
    )
    .action(lazily(async () => (await import('../train-head.js')).run));
