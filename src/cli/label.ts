import { once } from 'node:events';
import { resolve } from 'node:path';
import { applyLabels } from '../label/apply.js';
import type { LabelOptions } from '../label/options.js';
import { type RunningLabelling, startLabelling } from '../label/server.js';
import type { SaveAnswer } from '../label/protocol.js';
import { DEFAULT_HEAD, DEFAULT_STORE } from '../util/defaults.js';
import { UsageError } from '../util/errors.js';
import { firstOf, percent, quantity } from '../util/format.js';
import { call, option, sayNext } from './next.js';
import { noticeRenamed, placedText } from './placed.js';
import { interruptible, Progress } from './progress.js';
import { notice, onOneLine, print, printJson, say } from './terminal.js';

interface LabelFlags extends Omit<LabelOptions, 'dataset' | 'signal' | 'onNotice' | 'onProgress'> {
  apply?: 'copy' | 'link' | undefined;
  open?: true | undefined;
  json?: true | undefined;
}

export async function run(dataset: string, folder: string | undefined, flags: LabelFlags): Promise<void> {
  if ((flags.apply === undefined) !== (folder === undefined)) {
    throw new UsageError(
      folder === undefined
        ? 'With --apply, name a folder for the folders of the classes: npm run label -- photos --apply copy sorted'
        : `There is a second folder, ${folder}. One is labelled at a time; with --apply, the second one gets the results.`,
    );
  }
  const progress = new Progress('embedding', 'pictures');
  const notes = {
    notice: 'Saving what is left. Press Ctrl-C again to stop at once.',
    displays: [progress],
  };
  await interruptible(async (signal) => {
    const options: LabelOptions = {
      ...flags,
      dataset,
      signal,
      onNotice: notice,
      onProgress: ({ done, total, worked }) => {
        progress.update(done, total, worked);
      },
    };
    if (flags.apply !== undefined) await apply(options, flags.apply, resolve(folder!), flags);
    else await serve(await startLabelling(options), progress, signal, flags);
  }, notes);
}

async function serve(
  running: RunningLabelling,
  progress: Progress,
  signal: AbortSignal,
  flags: LabelFlags,
): Promise<void> {
  progress.stop();
  const { url, manifest, head } = running;
  if (flags.json) printJson({ url, manifest, head });
  else {
    print(url);
    say('Open this address to label. Ctrl-C ends it, and saves.');
  }
  // A browser that cannot be opened is no reason to stop.
  if (flags.open && !signal.aborted) await (await import('open')).default(url).catch(() => undefined);
  if (!signal.aborted) await once(signal, 'abort');
  const saved = await running.close();
  if (!flags.json) nameNext(running, saved, flags);
}

function nameNext({ manifest, head }: RunningLabelling, saved: SaveAnswer | null, { store }: LabelFlags): void {
  say(`The labels are in ${onOneLine(manifest)}`);
  if (saved?.withoutHead !== undefined) say(`No head was trained. ${saved.withoutHead}`);
  const { path, accuracy } = saved?.head ?? {};
  if (path !== undefined)
    say(`The head is in ${onOneLine(path)}${accuracy === undefined ? '' : `, ${percent(accuracy)} right`}`);
  const again = `${call('label', manifest, ...option('--store', store, DEFAULT_STORE))} goes on labelling`;
  if (saved?.head)
    sayNext(
      `${call('predict', ...option('--head', head, resolve(DEFAULT_HEAD)), 'PICTURES')} classifies pictures, and ${again}.`,
    );
  else sayNext(`${again}.`);
}

async function apply(
  options: LabelOptions,
  kind: 'copy' | 'link',
  folder: string,
  { json }: Pick<LabelFlags, 'json'>,
): Promise<void> {
  const { placed, present, missing, renamed, ...applied } = await applyLabels(options, kind, folder);
  if (missing.length > 0) process.exitCode = 3;
  if (json) {
    printJson({ folder, placed, present, missing, renamed: Object.fromEntries(renamed), ...applied });
    return;
  }
  const verb = kind === 'copy' ? 'copied' : 'linked';
  print(`${verb} to ${onOneLine(folder)}: ${placedText({ placed, present })}`);
  noticeRenamed(renamed);
  if (missing.length > 0) {
    say(
      `${quantity(missing.length, 'picture')} could not be ${verb}, as there is no such file: ${firstOf(missing.map(onOneLine), 3)}`,
    );
  }
  sayNext(`${call('embed', folder)} takes it as a data set.`);
}
