import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import { metricsJson, trainFromStore, type TrainedHead } from '../classifier/index.js';
import { DEFAULT_L2, saveHead } from '../head/index.js';
import { describeEvaluation } from './evaluation.js';
import { interruptible } from './interrupt.js';
import { jsonOption, notNegative, storeOption } from './options.js';
import { print, say } from './terminal.js';

interface TrainFlags {
  store: string;
  dataset?: string;
  model?: string;
  out: string;
  l2: number;
  holdOut: number;
  json?: true;
}

export const trainHeadCommand = (): Command =>
  new Command('train-head')
    .description('Train the last layer, a softmax regression, on the cached embeddings.')
    .addOption(storeOption())
    .option('--dataset <path>', 'the data set, as it was embedded (default: the one embedded last)')
    .option('--model <id>', 'the network, where the data set was embedded by several')
    .option('--out <file>', 'where to write the head', 'head.safetensors')
    .addOption(
      new Option('--l2 <lambda>', 'weight of the L2 penalty on the weights')
        .argParser(notNegative)
        .default(DEFAULT_L2),
    )
    .addOption(
      new Option(
        '--hold-out <fraction>',
        'part of each class to validate on, where there is no validation split; 0 for none',
      )
        .argParser(notNegative)
        .default(0.2),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Minimises mean cross-entropy + λ/2 ‖W‖² by L-BFGS; features are standardised, and the scaling is folded back into the
head. The trunk is frozen: nothing but this layer is trained.

Examples:
  npm run train-head
  npm run train-head -- --out ants-and-bees.safetensors --l2 0.01
  npm run train-head -- --dataset ~/photos --json`,
    )
    .action(run);

async function run({ json, out, ...flags }: TrainFlags): Promise<void> {
  const trained = await interruptible((signal) => trainFromStore({ ...flags, signal, onNotice: say }));
  const path = resolve(out);
  await saveHead(path, trained.head);
  if (json) print(JSON.stringify(toJson(trained, path)));
  else describe(trained, path);
}

function describe(
  { head, dataset, train, validation, validatedOn, unused }: TrainedHead,
  path: string,
): void {
  const { training, labels, width } = head;
  print(`${dataset.dataset}, embedded by ${dataset.model_id}`);
  print(
    `Linear(${width}, ${labels.length}) trained on ${train.count} pictures of ${labels.length} classes, λ = ${head.l2}`,
  );
  print(
    training.converged
      ? `  converged in ${training.iterations} iterations: loss ${training.loss.toFixed(4)}, gradient ${training.gradientNorm.toExponential(1)}`
      : `  NOT converged after ${training.iterations} iterations (${training.reason}): gradient ${training.gradientNorm.toExponential(1)}`,
  );
  print(describeEvaluation('training', train, { perClass: !validation }));
  if (validation) {
    print(describeEvaluation(`validation (${validatedOn})`, validation, { perClass: true }));
  } else {
    say('Nothing was kept for validation, so how good the head is on new pictures is not known.');
  }
  const left = [
    [unused.failed, 'unreadable'],
    [unused.unlabelled, 'without a label'],
    [unused.test, 'of the test split'],
  ] as const;
  const shown = left.filter(([n]) => n > 0).map(([n, what]) => `${n} ${what}`);
  if (shown.length > 0) say(`Pictures left out: ${shown.join(', ')}`);
  print(`\nThe head is in ${path}`);
}

function toJson({ head, dataset, train, validation, validatedOn, unused }: TrainedHead, path: string) {
  const { labels, modelId, transformId, l2, counts, training } = head;
  return {
    head: path,
    dataset: dataset.dataset,
    labels,
    modelId,
    transformId,
    l2,
    counts,
    training,
    train: metricsJson(train),
    validation: validation ? metricsJson(validation) : null,
    validatedOn,
    unused,
  };
}
