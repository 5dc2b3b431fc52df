import type { Command } from 'commander';
import { lazily } from '../../util/lazily.js';
import { datasetOption, headOption, jsonOption, storeOption } from '../options.js';

export const reportCommand = (command: Command): Command =>
  command
    .addOption(headOption())
    .addOption(storeOption())
    .addOption(datasetOption())
    .option('--compare <file>', 'file of another head, such as the earlier one, to compare it with')
    .option('--no-explain', 'leave out where the classes were seen, for which the backbone is run on some pictures')
    .option('--out <file>', 'where to write the report', 'report.html')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Shows the accuracy beside that of simple methods, a confusion matrix with the pictures behind each cell, the most confident
mistakes, the calibration, the learning curve (after train-head --learning-curve), a map of the pictures, and what check-data
finds. --compare adds what \`npm run compare\` tells, with the pictures that changed: A is the other head, B is this one.

A switch shows where in the mistakes and the least certain pictures the classes were seen (docs/predicting.md). If the backbone
is not here, the report says so.

The file works offline, so you can send it as it is; it contains thumbnails of some of the pictures.

Examples:
  npm run report
  npm run report -- --head ants-and-bees.safetensors --out ants-and-bees.html
  npm run report -- --head after.safetensors --compare before.safetensors`,
    )
    .action(lazily(async () => (await import('../report.js')).run));
