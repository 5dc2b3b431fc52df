import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { EMPTY_ROW } from '../../src/store/row.js';
import { EmbeddingStore } from '../../src/store/store.js';
import type { TrainingData } from './setting.js';

const WIDTH = 512;
const CLASSES = 10;

/** Made-up embeddings of overlapping classes, rectified as a ResNet's are. */
function makeUp(rows: number, classes: number): { embeddings: Float32Array; labels: number[] } {
  const random = normal(2026);
  const centres = Float32Array.from({ length: classes * WIDTH }, () => 0.25 * random());
  const labels = Array.from({ length: rows }, (_, i) => i % classes);
  const embeddings = Float32Array.from({ length: rows * WIDTH }, (_, i) => {
    const label = labels[Math.floor(i / WIDTH)]!;
    return Math.max(0, centres[label * WIDTH + (i % WIDTH)]! + random());
  });
  return { embeddings, labels };
}

/** Writes made-up embeddings of ten classes. */
export async function writeTrainingData(folder: string, rows: number): Promise<TrainingData> {
  return { ...(await writeMadeUp(folder, rows, CLASSES)), width: WIDTH, l2: 1e-3 };
}

async function writeMadeUp(folder: string, rows: number, classes: number) {
  const { embeddings, labels } = makeUp(rows, classes);
  const files = { embeddings: join(folder, 'embeddings.f32'), labels: join(folder, 'labels.json') };
  await writeFile(files.embeddings, new Uint8Array(embeddings.buffer));
  await writeFile(files.labels, JSON.stringify(labels));
  return files;
}

/** Embeddings and their classes, as files: those that are given, or made up. */
export async function trainingFiles(
  folder: string,
  data: { embeddings?: string | undefined; labels?: string | undefined; rows: number; classes: number },
): Promise<{ embeddings: string; labels: string }> {
  const { embeddings, labels } = data;
  if (embeddings !== undefined && labels !== undefined) return { embeddings, labels };
  return writeMadeUp(folder, data.rows, data.classes);
}

/** Writes a store of embeddings. */
export async function writeTrainingStore(
  location: string,
  files: { embeddings: string; labels: string },
): Promise<void> {
  const { embeddings, labels } = await readTrainingData(files.embeddings, files.labels);
  const model = { model_id: 'bench@000000000000', transform_id: 'v1-resize256-crop224' };
  const dataset = '/bench';
  const store = await EmbeddingStore.open(location, { create: true });
  const table = await store.table(model.model_id, model.transform_id, WIDTH);
  for (const [i, label] of labels.entries()) {
    await table.put({
      ...EMPTY_ROW,
      ...model,
      dataset,
      path: `${dataset}/${String(i).padStart(8, '0')}.jpg`,
      label: String(label).padStart(4, '0'),
      sha256: i.toString(16).padStart(64, '0'),
      size: 1,
      modified: 1,
      width: 500,
      height: 375,
      embedding: embeddings.slice(i * WIDTH, (i + 1) * WIDTH),
    });
  }
  await table.flush();
  await table.optimize();
  await store.record({
    ...model,
    dataset,
    layout: 'folder',
    table: table.name,
    width: WIDTH,
    complete: true,
    updated: Date.now(),
  });
  store.close();
}

async function readTrainingData(embeddings: string, labels: string) {
  const bytes = await readFile(embeddings);
  return {
    embeddings: new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4),
    labels: JSON.parse(await readFile(labels, 'utf8')) as number[],
  };
}

/** Draws from the standard normal distribution (Box and Muller 1958), the same for the same seed. */
export function normal(seed: number): () => number {
  const generator = xoroshiro128plus(seed);
  return () => {
    const radius = Math.sqrt(-2 * Math.log(1 - uniformFloat32(generator)));
    return radius * Math.cos(2 * Math.PI * uniformFloat32(generator));
  };
}
