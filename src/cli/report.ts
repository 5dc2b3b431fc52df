import { resolve } from 'node:path';
import type { Command } from 'commander';
import { makeReport } from '../report/report.js';
import { headOption, jsonOption, storeOption } from './options.js';
import { interruptible } from './progress.js';
import { notice, percent, print, Status, writeResult } from './terminal.js';

interface ReportFlags {
  head: string;
  store: string;
  dataset?: string | undefined;
  out: string;
  json?: true | undefined;
}

export const reportCommand = (command: Command): Command =>
  command
    .addOption(headOption())
    .addOption(storeOption())
    .option('--dataset <path>', 'the data set, as it was embedded (default: the one embedded last)')
    .option('--out <file>', 'where to write the report', 'report.html')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Accuracy beside that of simple methods, the confusion matrix with the pictures behind each cell, the most confident mistakes,
calibration, the learning curve (where train-head was given --learning-curve), a map of the pictures, and what check-data finds.
The file needs no network, so it can be sent as it is: the thumbnails of some of the pictures are in it.

Examples:
  npm run report
  npm run report -- --head ants-and-bees.safetensors --out ants-and-bees.html`,
    )
    .action(run);

async function run({ json, out, head, store, dataset }: ReportFlags): Promise<void> {
  const status = new Status('report');
  const report = await interruptible(async (signal) => {
    try {
      return await makeReport({
        head,
        store,
        signal,
        onNotice: notice,
        dataset,
        onProgress: (state) => {
          status.update(state);
        },
      });
    } finally {
      status.stop();
    }
  });
  const { html, ...figures } = report;
  const path = await writeResult('--out', resolve(out), html);
  if (json) print(JSON.stringify({ out: path, bytes: Buffer.byteLength(html), ...figures }));
  else {
    const { accuracy, meanAveragePrecision } = report;
    const figure =
      accuracy === undefined ? `mAP ${percent(meanAveragePrecision)}` : `accuracy ${percent(accuracy)}`;
    print(`${figure} of ${report.count}, on ${report.judgedOn}`);
    print(`The report is in ${path} (${(Buffer.byteLength(html) / 1e6).toFixed(1)} MB)`);
  }
}
