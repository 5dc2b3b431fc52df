import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError } from '../src/util/errors.js';
import { trainingFiles, writeTrainingStore } from './bench/training-data.js';
import { removeWorktree, type Side, workingTree, worktreeOf } from './compare-commits/checkout.js';
import { runProcess } from './support/run-process.js';
import { count, existingPath, run, script } from './support/script.js';
import { median } from './support/statistics.js';

/** scikit-learn is stopped after this long. */
const PEER_MINUTES = 15;

export const command = script(
  'bench-training',
  'Measure what train-head does with no option: reading the store, choosing λ, training, baselines. Compares the working tree ' +
    'with another commit and, if PEERS names a Python environment with scikit-learn, with its LogisticRegressionCV over the ' +
    'same λ. They take turns, and every run has a process of its own.',
  ['--base HEAD~1', '--base HEAD~1 --embeddings embeddings.f32 --labels labels.json --rounds 3'],
)
  .option('--embeddings <file>', 'little-endian float32 rows of 512; made up by default', existingPath)
  .option('--labels <file>', 'JSON list of class numbers', existingPath)
  .option('--rows <n>', 'how many embeddings to make up', count, 5000)
  .option('--classes <n>', 'of how many classes', count, 10)
  .option('--base <commit>', 'the commit to compare with')
  .option('--rounds <n>', 'how often each runs', count, 1)
  .action(benchTraining);
await run(import.meta.url, command);

interface Options {
  embeddings?: string | undefined;
  labels?: string | undefined;
  rows: number;
  classes: number;
  base?: string | undefined;
  rounds: number;
}

/** What bench/run-training.ts prints. */
interface Trained {
  seconds: number;
  /** Of all threads together. Other work on the machine hardly changes it. */
  processorSeconds: number;
  l2: number;
  tried: number[];
  outOfFoldLogLoss: number;
  objective: number;
  peakMiB: number;
}

async function benchTraining({ base, rounds, ...data }: Options): Promise<void> {
  if ((data.embeddings === undefined) !== (data.labels === undefined)) {
    throw new UsageError('--embeddings and --labels belong together. Give both, or neither.');
  }
  const folder = await mkdtemp(join(tmpdir(), 'lastlayer-bench-training-'));
  const sides: Side[] = [];
  try {
    if (base !== undefined) sides.push(await worktreeOf(base, join(folder, 'base')));
    sides.push(await workingTree(join(folder, 'work')));
    const store = join(folder, 'store');
    const files = await trainingFiles(folder, data);
    await writeTrainingStore(store, files);
    const child = fileURLToPath(new URL('./bench/run-training.ts', import.meta.url));
    const times = sides.map((): Pick<Trained, 'seconds' | 'processorSeconds'>[] => []);
    let tried: number[] = [];
    for (let round = 1; round <= rounds; round++) {
      for (const [i, { name, checkout }] of sides.entries()) {
        const output = await runProcess(process.execPath, ['--import', 'tsx', child, checkout, store]);
        const trained = JSON.parse(output) as Trained;
        const { seconds, processorSeconds, l2, outOfFoldLogLoss, objective, peakMiB } = trained;
        tried = trained.tried;
        times[i]!.push(trained);
        console.log(
          `${name}: ${seconds.toFixed(2)} s, ${processorSeconds.toFixed(2)} s of the processor, λ ${l2}, out-of-fold log loss ${outOfFoldLogLoss.toFixed(4)}, ` +
            `objective ${objective.toFixed(7)}, peak ${peakMiB.toFixed(0)} MiB`,
        );
      }
    }
    const [first, second] = times;
    if (first && second) {
      const ratio = (of: 'seconds' | 'processorSeconds') =>
        (median(first.map((each) => each[of])) / median(second.map((each) => each[of]))).toFixed(1);
      console.log(
        `The working tree takes 1/${ratio('seconds')} of the time, 1/${ratio('processorSeconds')} of the processor's.`,
      );
    }
    if (process.env.PEERS !== undefined) console.log(await scikitLearn(process.env.PEERS, files, tried));
  } finally {
    for (const side of sides) await removeWorktree(side);
    await rm(folder, { recursive: true, force: true });
  }
}

async function scikitLearn(
  environment: string,
  { embeddings, labels }: { embeddings: string; labels: string },
  l2: readonly number[],
): Promise<string> {
  const program = fileURLToPath(new URL('./bench/logistic_regression_cv.py', import.meta.url));
  const args = [program, embeddings, labels, ...l2.map(String)];
  const python = join(environment, 'bin', 'python');
  const start = performance.now();
  try {
    const output = await runProcess(python, args, process.env, PEER_MINUTES * 60_000);
    const { seconds, outOfFoldLogLoss } = JSON.parse(output) as Pick<Trained, 'seconds' | 'outOfFoldLogLoss'>;
    return `scikit-learn: ${seconds.toFixed(2)} s, log loss of its own folds ${outOfFoldLogLoss.toFixed(4)}`;
  } catch (error) {
    if (performance.now() - start < PEER_MINUTES * 60_000) throw error;
    return `scikit-learn: stopped after ${PEER_MINUTES} minutes`;
  }
}
