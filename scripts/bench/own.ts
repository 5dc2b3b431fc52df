import { fileURLToPath } from 'node:url';
import { runProcess } from '../support/run-process.js';
import type { Contestant, Setting } from './setting.js';

/** lastlayer in float32 and, if the int8 model exists, in int8; and the training of its head. */
export function ownContestants({ dataset, folder, model, int8, data }: Setting): Contestant[] {
  const models = [['lastlayer fp32', model]];
  if (int8 !== undefined) models.push(['lastlayer int8', int8]);
  return [
    ...models.flatMap(([name = '', path = '']) => [
      { name, run: () => child('embed', [path, dataset, folder]) },
      { name, run: () => child('parts', [path, dataset]) },
      { name, run: () => child('latency', [path, dataset]) },
    ]),
    {
      name: 'lastlayer',
      run: () => child('head', [data.embeddings, data.labels, String(data.width), String(data.l2)]),
    },
  ];
}

/** Runs a script of this folder, which prints its figures as JSON. */
async function child(script: string, args: string[]): Promise<Record<string, number>> {
  const path = fileURLToPath(new URL(`./run-${script}.ts`, import.meta.url));
  const output = await runProcess(process.execPath, ['--import', 'tsx', path, ...args]);
  return JSON.parse(output) as Record<string, number>;
}
