import { fetchModel } from '../backbone/fetch/fetch-model.js';
import { DEFAULT_NAME } from '../backbone/models.js';
import type { WeightsName } from '../backbone/torchvision.js';
import { quantity } from '../util/format.js';
import { call, option, sayNext } from './next.js';
import type { DestinationFlags } from './options.js';
import { interruptible, Progress } from './progress.js';
import { notice, print, printJson } from './terminal.js';

interface FetchFlags extends DestinationFlags {
  model?: string | undefined;
  weights?: WeightsName | undefined;
  from?: string | undefined;
  features?: string | undefined;
  sha256?: string | undefined;
  resize?: number | undefined;
  mean?: [number, number, number] | undefined;
  std?: [number, number, number] | undefined;
  json?: true | undefined;
}

export async function run({ json, resize, mean, std, ...flags }: FetchFlags): Promise<void> {
  const progress = new Progress('download', 'MB', (bytes) => (bytes / 1e6).toFixed(1));
  const { path, card, ...rest } = await interruptible(
    (signal) =>
      fetchModel({
        ...flags,
        transform: { resize, mean, std },
        signal,
        onNotice: notice,
        onProgress: (received, total) => {
          progress.update(received, total);
        },
      }),
    { displays: [progress] },
  );
  if (json) {
    printJson({ path, ...rest, ...card });
    return;
  }
  const classes = card.classes === null ? '' : `, logits of ${quantity(card.classes, 'class', 'classes')}`;
  print(`${path}\n  ${card.id}, embeddings of width ${card.featureWidth}${classes}`);
  print(`  from ${card.source}`);
  const args = option('--model', rest.knownAs ?? path, DEFAULT_NAME);
  sayNext(`${call('embed', 'FOLDER', ...args)} turns a folder of pictures into embeddings of it.`);
}
