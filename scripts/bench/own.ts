import { fileURLToPath } from 'node:url';
import { runProcess } from '../support/run-process.js';
import type { Contestant, Setting } from './setting.js';

/** lastlayer in float32 and, if the int8 model exists, in int8; and the training of its head. */
export function ownContestants(setting: Setting): Contestant[] {
  const { dataset, folder, data } = setting;
  return [
    ...modelsOf(setting).flatMap(({ name, path }) => [
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

/** How close the embeddings are to those of pixels that torchvision gives, for which see `torchvisionPixels`. */
export function cosineContestants(setting: Setting, { list, pixels }: { list: string; pixels: string }): Contestant[] {
  return modelsOf(setting).map(({ name, path }) => ({
    name,
    run: () => child('cosine', [path, setting.model, list, pixels]),
  }));
}

function modelsOf({ model, int8 }: Setting): { name: string; path: string }[] {
  const inInt8 = int8 === undefined ? [] : [{ name: 'lastlayer int8', path: int8 }];
  return [{ name: 'lastlayer fp32', path: model }, ...inInt8];
}

/** Runs a script of this folder, which prints its figures as JSON. */
async function child(script: string, args: string[]): Promise<Record<string, number>> {
  const path = fileURLToPath(new URL(`./run-${script}.ts`, import.meta.url));
  const output = await runProcess(process.execPath, ['--import', 'tsx', path, ...args]);
  return JSON.parse(output) as Record<string, number>;
}
