import { existsSync } from 'node:fs';
import { join } from 'node:path';
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
