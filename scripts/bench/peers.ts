import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { runProcess } from './process.js';
import { RATE, TRAINING, type Contestant, type Setting } from './setting.js';

const WORKERS = [0, 1, 2];

/**
 * PyTorch's way to the same embeddings, with each number of workers, and scikit-learn's to the same head.
 * @param environment Python environment that the peers run in; without one there are no peers
 * @param scripts folder of torch_embed.py and head.py
 */
export function peerContestants(
  { dataset, folder, data }: Setting,
  environment: string | undefined,
  scripts: string,
): Contestant[] {
  if (environment === undefined || !existsSync(scripts)) {
    const missing = environment === undefined ? 'PEERS is not set' : `There is no ${scripts}`;
    process.stderr.write(`${missing}, so there are no peers to compare with.\n`);
    return [];
  }
  const python = (script: string, args: string[]) =>
    runProcess(join(environment, 'bin', 'python'), [join(scripts, script), ...args], withoutOverrides());
  return [
    ...WORKERS.map((workers) => ({
      name: `PyTorch, ${workers} ${workers === 1 ? 'worker' : 'workers'}`,
      run: async () => {
        const output = await python('torch_embed.py', [
          dataset,
          join(folder, 'peer.npy'),
          '--workers',
          String(workers),
        ]);
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

/** NumPy's linear algebra must be free to choose the kernel that suits the processor. */
function withoutOverrides(): NodeJS.ProcessEnv {
  const environment = { ...process.env };
  delete environment.OPENBLAS_CORETYPE;
  delete environment.OPENBLAS_L2_SIZE;
  return environment;
}

function numberIn(output: string, pattern: RegExp): number {
  const found = pattern.exec(output)?.[1];
  if (found === undefined) throw new Error(`no ${String(pattern)} in: ${output}`);
  return Number(found);
}
