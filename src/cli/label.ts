import { once } from 'node:events';
import type { LabelOptions } from '../label/options.js';
import { startLabelling } from '../label/server.js';
import { call, sayNext } from './next.js';
import { interruptible, Progress } from './progress.js';
import { notice, print } from './terminal.js';

type LabelFlags = Omit<LabelOptions, 'dataset' | 'signal' | 'onNotice' | 'onProgress'>;

export async function run(dataset: string, flags: LabelFlags): Promise<void> {
  const progress = new Progress('embedding', 'pictures');
  await interruptible(
    async (signal) => {
      const running = await startLabelling({
        ...flags,
        dataset,
        signal,
        onNotice: notice,
        onProgress: ({ done, total, worked }) => {
          progress.update(done, total, worked);
        },
      });
      progress.stop();
      print(running.url);
      if (!signal.aborted) await once(signal, 'abort');
      await running.close();
      sayNext(`${call('embed', running.manifest)} and ${call('train-head')} train a head on these labels.`);
    },
    { displays: [progress], notice: 'Writing what is not written yet. Press Ctrl-C again to stop at once.' },
  );
}
