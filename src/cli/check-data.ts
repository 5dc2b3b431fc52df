import { resolve } from 'node:path';
import { checkData, type CheckDataOptions, type DataCheck } from '../check/check-data.js';
import { ISSUE_MEANINGS, ISSUES } from '../check/finding.js';
import { toManifest } from '../check/manifest.js';
import { DEFAULT_STORE } from '../util/defaults.js';
import { nameOf } from '../util/file-names.js';
import { quantity } from '../util/format.js';
import { call, option, sayNext } from './next.js';
import { writeOut } from './options.js';
import { interruptible, Status } from './progress.js';
import { notice, onOneLine, print, printJson, styled } from './terminal.js';

interface CheckFlags extends CheckDataOptions {
  out?: string | undefined;
  json?: true | undefined;
}

/** Pictures to list of each issue; --json and --out have all. */
const LISTED = 10;

/** Issues that make results wrong. */
const SERIOUS = new Set<string>(['leak', 'conflicting labels', 'label error']);

export async function run({ json, out, ...options }: CheckFlags): Promise<void> {
  const status = new Status('checking');
  const checked = await interruptible(
    (signal) =>
      checkData({
        ...options,
        signal,
        onNotice: notice,
        onProgress: ({ phase, done, total }) => {
          if (phase === 'labels') status.update(`labels, fit ${done + 1}`);
          else status.update(`neighbours of ${done} of ${total ?? done} pictures`);
        },
      }),
    { displays: [status] },
  );
  const path = out === undefined ? undefined : resolve(out);
  if (path !== undefined) await writeOut(path, toManifest(checked));
  if (json) {
    printJson({ ...checked, pictures: checked.pictures.length, out: path ?? null });
  } else {
    print(describe(checked));
    if (path !== undefined) print(`\nWrote a manifest with all findings to ${path}`);
    nameNext(checked, { out, ...options });
  }
}

function nameNext({ findings }: DataCheck, { out, store, dataset, model }: CheckFlags): void {
  const inStore = option('--store', store, DEFAULT_STORE);
  const data = [...inStore, ...option('--dataset', dataset), ...option('--model', model)];
  if (findings.length === 0) sayNext(`${call('train-head', ...data)} trains a head.`);
  else if (out === undefined) {
    sayNext(`${call('check-data', ...data, '--out', 'checked.csv')} writes a manifest to correct.`);
  } else
    sayNext(
      `correct the labels there or delete rows, then ${call('embed', out, ...inStore, ...option('--model', model))}.`,
    );
}

function describe({ dataset, modelId, pictures, classes, findings, warnings }: DataCheck): string {
  const names = pictures.some(({ labels }) => labels)
    ? quantity(classes.length, 'label')
    : quantity(classes.length, 'class', 'classes');
  const lines = [`${dataset}: ${quantity(pictures.length, 'picture')} of ${names}, embedded by ${modelId}`];
  for (const issue of ISSUES) {
    const found = findings.filter((finding) => finding.issue === issue);
    if (found.length === 0) continue;
    const heading = styled(['bold', SERIOUS.has(issue) ? 'red' : 'yellow'], `${issue}, ${found.length}:`);
    lines.push('', `${heading} ${ISSUE_MEANINGS[issue]}`);
    for (const { path, detail, related } of found.slice(0, LISTED)) {
      const see = related ? `, see ${nameOf(dataset, related)}` : '';
      lines.push(`  ${onOneLine(`${nameOf(dataset, path)}: ${detail}${see}`)}`);
    }
    if (found.length > LISTED) {
      lines.push(`  … and ${found.length - LISTED} more; --out FILE.csv writes them all`);
    }
  }
  if (findings.length === 0) lines.push('Nothing is wrong with the pictures, as far as the embeddings tell.');
  if (warnings.length > 0) lines.push('', ...warnings);
  return lines.join('\n');
}
