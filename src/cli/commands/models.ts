import type { Command } from 'commander';
import { lazily } from '../../util/lazily.js';
import { jsonOption } from '../options.js';

export const modelsCommand = (command: Command): Command =>
  command
    .argument('[users...]', 'heads, stores, or folders that have some (default: the current folder)')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Lists each model with its id, precision, size, names and file, and the heads and stores that were made with it. --model takes any
of the names, the id or the file.

Models are looked for in models/ of the current folder, in models/ of the clone or package, and in the folder that fetch-model and
quantize write to: models in $LASTLAYER_HOME, or else in the system's cache folder. The files there may be deleted. Heads and
stores whose model is gone work again once it is back.

Examples:
  npm run models
  npm run models -- ~/work/bees --json`,
    )
    .action(lazily(async () => (await import('../models.js')).run));
