import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { normal } from './normal.js';
import type { TrainingData } from './setting.js';

const WIDTH = 512;
const CLASSES = 10;

/** Draws embeddings of ten overlapping classes from a seed, rectified as a ResNet's are, and writes them. */
export async function writeTrainingData(folder: string, rows: number): Promise<TrainingData> {
  const random = normal(2026);
  const centres = Float32Array.from({ length: CLASSES * WIDTH }, () => 0.25 * random());
  const labels = Array.from({ length: rows }, (_, i) => i % CLASSES);
  const embeddings = Float32Array.from({ length: rows * WIDTH }, (_, i) => {
    const label = labels[Math.floor(i / WIDTH)] ?? 0;
    return Math.max(0, (centres[label * WIDTH + (i % WIDTH)] ?? 0) + random());
  });
  const data = { embeddings: join(folder, 'embeddings.f32'), labels: join(folder, 'labels.json') };
  await writeFile(data.embeddings, new Uint8Array(embeddings.buffer));
  await writeFile(data.labels, JSON.stringify(labels));
  return { ...data, width: WIDTH, l2: 1e-3 };
}
