import { resolve } from 'node:path';
import type { Command } from 'commander';
import { checkData, type DataCheck } from '../check/check-data.js';
import { ISSUE_MEANINGS, ISSUES, nameOf } from '../check/finding.js';
import { toManifest } from '../check/manifest.js';
import { jsonOption, storeOption } from './options.js';
import { interruptible } from './progress.js';
import { notice, onOneLine, print, Progress, Status, styled, writeResult } from './terminal.js';

interface CheckFlags {
  store: string;
  dataset?: string | undefined;
  model?: string | undefined;
  out?: string | undefined;
  pixels: boolean;
  json?: true | undefined;
}

/** Pictures that are listed of each issue; --json and --out have all. */
const LISTED = 10;

/** Those that make results wrong. */
const GRAVE = new Set<string>(['leak', 'conflicting labels', 'label error']);

export const checkDataCommand = (command: Command): Command =>
  command
    .addOption(storeOption())
    .option('--dataset <path>', 'the data set, as it was embedded (default: the one embedded last)')
    .option('--model <id>', 'the network, where the data set was embedded by several')
    .option('--out <csv>', 'write a manifest with what was found, to be edited and embedded')
    .option(
      '--no-pixels',
      'do not open pictures, where an earlier version embedded them: no empty or grey ones, and only the nearest duplicates',
    )
    .addOption(jsonOption())
    .addHelpText('after', HELP)
    .action(run);

const HELP = `
${ISSUES.map((issue) => `  ${issue.padEnd(18)}  ${ISSUE_MEANINGS[issue]}`).join('\n')}

Nothing is changed. --out writes a row for each picture (path, label or labels, split, … and issue, suggested_label,
related, detail).
Correct labels there, or delete rows, and embed the file: that is quick, as the pictures are known by content.

Examples:
  npm run check-data
  npm run check-data -- --dataset ~/photos --out checked.csv
  npm run embed -- checked.csv
  npm run check-data -- --no-pixels --json`;

async function run({ json, out, pixels, store, dataset, model }: CheckFlags): Promise<void> {
  const progress = new Progress('looking at pictures', 'pictures');
  const status = new Status('checking');
  const checked = await interruptible(async (signal) => {
    try {
      return await checkData({
        store,
        pixels,
        signal,
        onNotice: notice,
        dataset,
        model,
        onProgress: ({ phase, done, total }) => {
          if (phase === 'pictures') progress.update(done, total);
          else if (phase === 'labels') status.update(`labels, fit ${done + 1}`);
          else status.update(`neighbours of ${done} of ${total ?? done} pictures`);
        },
      });
    } finally {
      progress.stop();
      status.stop();
    }
  });
  const path = out === undefined ? undefined : await writeResult('--out', resolve(out), toManifest(checked));
  if (json) {
    const { pictures, ...rest } = checked;
    print(JSON.stringify({ ...rest, pictures: pictures.length, out: path ?? null }));
    return;
  }
  print(describe(checked));
  if (path) print(`\nThe manifest with all findings is in ${path}`);
}

function describe({ dataset, modelId, pictures, classes, findings, warnings }: DataCheck): string {
  const lines = [
    `${dataset}: ${pictures.length} pictures of ${classes.length} ${pictures.some(({ labels }) => labels) ? 'labels' : 'classes'}, ` +
      `embedded by ${modelId}`,
  ];
  for (const issue of ISSUES) {
    const found = findings.filter((finding) => finding.issue === issue);
    if (found.length === 0) continue;
    const heading = styled(['bold', GRAVE.has(issue) ? 'red' : 'yellow'], `${issue}, ${found.length}:`);
    lines.push('', `${heading} ${ISSUE_MEANINGS[issue]}`);
    for (const { path, detail, related } of found.slice(0, LISTED)) {
      const see = related ? `, see ${nameOf(dataset, related)}` : '';
      lines.push(`  ${onOneLine(`${nameOf(dataset, path)}: ${detail}${see}`)}`);
    }
    if (found.length > LISTED)
      lines.push(`  … and ${found.length - LISTED} more; --out FILE.csv writes them all`);
  }
  if (findings.length === 0) lines.push('Nothing is wrong with the pictures, as far as the embeddings tell.');
  if (warnings.length > 0) lines.push('', ...warnings);
  return lines.join('\n');
}
