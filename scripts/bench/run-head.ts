/** Training the head on features as they are, at a given λ: the same objective as scikit-learn’s. */
import { readFile } from 'node:fs/promises';
import { trainHead } from '../../src/head/train.js';
import { TRAINING } from './setting.js';

const [embeddingsFile = '', labelsFile = '', width = '', l2 = ''] = process.argv.slice(2);
const bytes = await readFile(embeddingsFile);
const embeddings = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const labels = (JSON.parse(await readFile(labelsFile, 'utf8')) as number[]).map(String);
const start = performance.now();
const { training } = await trainHead({
  embeddings,
  labels,
  width: Number(width),
  l2: Number(l2),
  whiten: false,
  modelId: 'bench',
  transformId: 'bench',
});
const seconds = (performance.now() - start) / 1000;
if (!training.converged) throw new Error(`Training stopped: ${training.reason}`);
console.log(JSON.stringify({ [TRAINING]: seconds, 'objective reached': training.loss }));
