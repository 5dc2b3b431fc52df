import type { Command } from 'commander';
import { ISSUE_MEANINGS, ISSUES } from '../../check/finding.js';
import { lazily } from '../../util/lazily.js';
import { datasetOption, jsonOption, modelIdOption, storeOption } from '../options.js';

export const checkDataCommand = (command: Command): Command =>
  command
    .addOption(storeOption())
    .addOption(datasetOption())
    .addOption(modelIdOption())
    .option('--out <file>', 'write a manifest with the findings, to edit and embed')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
${ISSUES.map((issue) => `  ${issue.padEnd(18)}  ${ISSUE_MEANINGS[issue]}`).join('\n')}

Nothing is changed. --out writes a row for each picture: path, label or labels, split, … and issue, suggested_label, related,
detail. The flagged pictures come first. Correct the labels there or delete rows, then embed the file. That is quick, since the
pictures are known by content.

Examples:
  npm run check-data
  npm run check-data -- --dataset ~/photos --out checked.csv
  npm run embed -- checked.csv
  npm run check-data -- --json`,
    )
    .action(lazily(async () => (await import('../check-data.js')).run));
