import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { TrainingData } from './setting.js';

const WIDTH = 512;
const CLASSES = 10;

/** Writes generated embeddings of ten overlapping classes, rectified as a ResNet's are. */
export async function writeTrainingData(folder: string, rows: number): Promise<TrainingData> {
  const random = normal(2026);
  const centres = Float32Array.from({ length: CLASSES * WIDTH }, () => 0.25 * random());
  const labels = Array.from({ length: rows }, (_, i) => i % CLASSES);
  const embeddings = Float32Array.from({ length: rows * WIDTH }, (_, i) => {
    const label = labels[Math.floor(i / WIDTH)]!;
    return Math.max(0, centres[label * WIDTH + (i % WIDTH)]! + random());
  });
  const data = { embeddings: join(folder, 'embeddings.f32'), labels: join(folder, 'labels.json') };
  await writeFile(data.embeddings, new Uint8Array(embeddings.buffer));
  await writeFile(data.labels, JSON.stringify(labels));
  return { ...data, width: WIDTH, l2: 1e-3 };
}

/** Draws from the standard normal distribution (Box and Muller 1958), the same for the same seed. */
function normal(seed: number): () => number {
  const generator = xoroshiro128plus(seed);
  return () => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniformFloat32(generator)));
    return radius * Math.cos(2 * Math.PI * uniformFloat32(generator));
  };
}
