import { Matrix } from 'ml-matrix';
import { encodeSafetensors } from '../../src/formats/safetensors.js';
import { encodeMetadata, readHead } from '../../src/head/file.js';
import { Head } from '../../src/head/head.js';
import { madeUpHead } from '../../test/support/made-up-head.js';
import { mutateSafetensors } from './safetensors.js';
import { sane, type Target } from './target.js';

const WIDTH = 8;

/** Softmax heads, and multilabel heads with thresholds. */
export async function headTarget(): Promise<Target> {
  const plain = madeUpHead({ id: 'network@0123456789ab', transformId: 'v1', width: WIDTH });
  const labels = plain.with({ kind: 'multilabel', thresholds: [0.4, 0.5, 0.6] });
  const files = [plain, labels].map(bytesOf);
  const embeddings = Float32Array.from({ length: 2 * WIDTH }, (_, i) => Math.sin(i + 1));
  return Promise.resolve({
    mutant: (random) => mutateSafetensors(random.pick(files), random),
    attempt: async (bytes) => {
      const head = readHead(bytes, 'head.safetensors');
      for (const row of head.predictProba(embeddings).to2DArray()) {
        sane(
          row.every((p) => p >= 0 && p <= 1),
          `probabilities ${row.join(', ')}`,
        );
      }
      head.predict(embeddings, 2);
      head.labelsOf(embeddings);
      for (const { typicality } of head.typicality(embeddings)) {
        sane(typicality === null || (typicality >= 0 && typicality <= 1), `typicality ${typicality}`);
      }
      bytesOf(head);
      return Promise.resolve();
    },
  });
}

function bytesOf(head: Head): Buffer {
  const { labels, weights, width, bias } = head;
  const matrix = { shape: [labels.length, width], data: Float32Array.from(weights.to1DArray()) };
  const tensors = new Map([
    ['fc.weight', matrix],
    ['fc.bias', { shape: [labels.length], data: bias }],
    ['class_means', { ...matrix, data: Float32Array.from(Matrix.zeros(labels.length, width).to1DArray()) }],
  ]);
  return Buffer.from(
    encodeSafetensors(tensors, {
      ...encodeMetadata(head),
      unknown: '{"rate":0.1,"typical":{"count":3,"scores":[-0.5,0.2,0.3]}}',
    }),
  );
}
