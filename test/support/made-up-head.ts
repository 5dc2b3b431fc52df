import { Matrix } from 'ml-matrix';
import { Head } from '../../src/head/head.js';

/** A head of three classes with a temperature of 1.7, for a backbone; it was never trained. */
export function madeUpHead({ id, transformId, width }: { id: string; transformId: string; width: number }): Head {
  return new Head({
    weights: Matrix.from1DArray(
      3,
      width,
      Float32Array.from({ length: 3 * width }, (_, i) => 0.05 * Math.sin(i * i)),
    ),
    bias: Float32Array.of(0.1, -0.2, 0.3),
    labels: ['ant', 'bee', 'wasp'],
    ...{
      modelId: id,
      transformId,
      l2: 0.1,
      temperature: 1.7,
      metrics: null,
      created: '2026-01-02T03:04:05.000Z',
    },
    counts: { train: [1, 1, 1], validation: [0, 0, 0] },
    training: {
      ...{ iterations: 1, converged: true, reason: 'gradient', loss: 1, gradientNorm: 0, tolerance: 1e-5 },
      whiten: true,
      labelSmoothing: 0,
    },
  });
}
