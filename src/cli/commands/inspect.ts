import type { Command } from 'commander';
import { lazily } from '../../util/lazily.js';
import { jsonOption, modelOption } from '../options.js';

export const inspectCommand = (command: Command): Command =>
  command
    .addOption(modelOption())
    .option('--features', 'list the features of --model that `fetch-model --features` can take')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  npm run inspect
  npm run inspect -- --model resnet34
  npm run inspect -- --model vit.onnx --features`,
    )
    .action(lazily(async () => (await import('../inspect.js')).run));
