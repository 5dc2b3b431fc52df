import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openDataset } from '../../src/data/open.js';
import { runProcess } from '../support/run-process.js';
import { RATE, TRAINING, type Contestant, type Setting } from './setting.js';

const WORKERS = [0, 1, 2];

/**
 * PyTorch computing the same embeddings, with each number of workers, and scikit-learn training the same head.
 * @param environment Python environment of the peers; without one there are none
 * @param scripts folder of torch_embed.py and head.py
 */
export function peerContestants(
  { dataset, folder, data }: Setting,
  environment: string | undefined,
  scripts: string,
): Contestant[] {
  const needed = environment === undefined ? [] : [scripts, join(environment, 'bin', 'python')];
  const absent = needed.find((path) => !existsSync(path));
  if (environment === undefined || absent !== undefined) {
    const missing = absent === undefined ? 'PEERS is not set' : `There is no ${absent}`;
    process.stderr.write(`${missing}, so PyTorch and scikit-learn are left out.\n`);
    return [];
  }
  const python = (script: string, args: string[]) =>
    runProcess(join(environment, 'bin', 'python'), [join(scripts, script), ...args], withoutOverrides());
  return [
    ...WORKERS.map((workers) => ({
      name: `PyTorch, ${workers} ${workers === 1 ? 'worker' : 'workers'}`,
      run: async () => {
        const args = [dataset, join(folder, 'peer.npy'), '--workers', String(workers)];
        const output = await python('torch_embed.py', args);
        return { [RATE]: numberIn(output, /([\d.]+) images\/s/) };
      },
    })),
    {
      name: 'scikit-learn',
      run: async () => {
        const output = await python('head.py', [data.embeddings, data.labels, String(data.l2)]);
        return {
          [TRAINING]: numberIn(output, /scikit-learn lbfgs: ([\d.]+) s/),
          'objective reached': numberIn(output, /objective ([\d.]+)/),
        };
      },
    },
  ];
}

/**
 * The pictures of a data set as torchvision decodes them.
 * @returns files: a list of the pictures, and their pixels, RGB bytes [pictures, 224, 224, 3]
 */
export async function torchvisionPixels(
  { dataset, folder }: Pick<Setting, 'dataset' | 'folder'>,
  environment: string,
): Promise<{ list: string; pixels: string }> {
  const paths: string[] = [];
  for await (const { path } of (await openDataset(dataset)).entries()) paths.push(path);
  const [list, pixels] = [join(folder, 'pictures.json'), join(folder, 'torchvision.rgb')];
  await writeFile(list, JSON.stringify(paths));
  const script = fileURLToPath(new URL('torchvision_pixels.py', import.meta.url));
  await runProcess(join(environment, 'bin', 'python'), [script, list, pixels]);
  return { list, pixels };
}

/** Lets NumPy's linear algebra choose the kernel that suits the processor. */
function withoutOverrides(): NodeJS.ProcessEnv {
  const environment = { ...process.env };
  delete environment.OPENBLAS_CORETYPE;
  delete environment.OPENBLAS_L2_SIZE;
  return environment;
}

function numberIn(output: string, pattern: RegExp): number {
  const found = pattern.exec(output)?.[1];
  if (found === undefined) throw new Error(`No match for ${String(pattern)} in: ${output}`);
  return Number(found);
}
