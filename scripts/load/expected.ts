import { readFile } from 'node:fs/promises';
import { Classifier } from '../../src/classify/classifier.js';
import { openDataset } from '../../src/data/open.js';

/** Pictures that are sent. */
const PICTURES = 200;

/** A picture and what is on it, by the classifier without any server. */
export interface Expected {
  bytes: Buffer;
  label: string;
  probability: number;
}

/** Judges pictures of a data set one by one. */
export async function expectedAnswers(dataset: string, head: string, model: string): Promise<Expected[]> {
  const classifier = await Classifier.load(head, { model });
  const paths: string[] = [];
  for await (const { path } of (await openDataset(dataset)).entries()) paths.push(path);
  // Every so-many-th, so that all classes are among them.
  const step = Math.max(1, Math.floor(paths.length / PICTURES));
  const expected: Expected[] = [];
  for (const path of paths.filter((_, i) => i % step === 0).slice(0, PICTURES)) {
    const bytes = await readFile(path);
    const [best] = await classifier.predict(bytes);
    if (best) expected.push({ bytes, ...best });
  }
  await classifier.backbone.release();
  return expected;
}
