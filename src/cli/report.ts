import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { verdictOf } from '../classify/compare.js';
import { DEFAULT_HEAD } from '../head/file.js';
import { makeReport, type ReportOptions } from '../report/report.js';
import { percent } from '../util/format.js';
import { call, option, sayNext } from './next.js';
import { datasetOption, headOption, jsonOption, storeOption, writeOut } from './options.js';
import { interruptible, Status } from './progress.js';
import { notice, print, printJson } from './terminal.js';

interface ReportFlags extends ReportOptions {
  out: string;
  json?: true | undefined;
}

export const reportCommand = (command: Command): Command =>
  command
    .addOption(headOption())
    .addOption(storeOption())
    .addOption(datasetOption())
    .option('--compare <head>', 'file of another head, such as the earlier one, to compare it with')
    .option('--out <file>', 'where to write the report', 'report.html')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Shows the accuracy beside that of simple methods, a confusion matrix with the pictures behind each cell, the most confident
mistakes, the calibration, the learning curve (after train-head --learning-curve), a map of the pictures, and what check-data
finds. --compare adds what \`npm run compare\` tells, with the pictures that changed: A is the other head, B is this one.

The file works offline, so you can send it as it is; it contains thumbnails of some of the pictures.

Examples:
  npm run report
  npm run report -- --head ants-and-bees.safetensors --out ants-and-bees.html
  npm run report -- --head after.safetensors --compare before.safetensors`,
    )
    .action(run);

async function run({ json, out, ...options }: ReportFlags): Promise<void> {
  const path = resolve(out);
  const status = new Status('report');
  const { html, ...figures } = await interruptible(
    (signal) =>
      makeReport({
        ...options,
        folder: dirname(path),
        signal,
        onNotice: notice,
        onProgress: (state) => {
          status.update(state);
        },
      }),
    { displays: [status] },
  );
  await writeOut(path, html);
  const bytes = Buffer.byteLength(html);
  if (json) printJson({ out: path, bytes, ...figures });
  else {
    const { accuracy, meanAveragePrecision, count, evaluatedOn } = figures;
    const score = accuracy === undefined ? `mAP ${percent(meanAveragePrecision)}` : `accuracy ${percent(accuracy)}`;
    print(`${score} of ${count}, on ${evaluatedOn}`);
    if (figures.comparison) print(verdictOf(figures.comparison).text);
    print(`Wrote the report to ${path} (${(bytes / 1e6).toFixed(1)} MB)`);
    sayNext(
      `open it in a browser. ${call('serve', ...option('--head', options.head, DEFAULT_HEAD))} offers the head on a page.`,
    );
  }
}
