import { dirname, resolve } from 'node:path';
import { verdictOf } from '../classify/compare.js';
import { makeReport, type ReportOptions } from '../report/report.js';
import { DEFAULT_HEAD } from '../util/defaults.js';
import { percent } from '../util/format.js';
import { call, option, sayNext } from './next.js';
import { writeOut } from './options.js';
import { interruptible, Status } from './progress.js';
import { notice, print, printJson } from './terminal.js';

interface ReportFlags extends ReportOptions {
  out: string;
  json?: true | undefined;
}

export async function run({ json, out, ...options }: ReportFlags): Promise<void> {
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
