import { readFile } from 'node:fs/promises';
import { Classifier } from '../../src/classify/classifier.js';
import { openDataset } from '../../src/data/open.js';
import { LastlayerError } from '../../src/util/errors.js';

/** Pictures to send. */
const PICTURES = 200;

/** A picture, and its class according to the classifier without a server. */
export interface Expected {
  bytes: Buffer;
  label: string;
  probability: number;
}

/** Classifies pictures of a data set one by one. @throws {LastlayerError} if it has none */
export async function expectedAnswers(dataset: string, head: string, model?: string): Promise<Expected[]> {
  const classifier = await Classifier.load(head, { model });
  const paths: string[] = [];
  for await (const { path } of (await openDataset(dataset)).entries()) paths.push(path);
  // Evenly spaced, so that all classes are among them.
  const step = Math.max(1, Math.floor(paths.length / PICTURES));
  const expected: Expected[] = [];
  for (const path of paths.filter((_, i) => i % step === 0).slice(0, PICTURES)) {
    const bytes = await readFile(path);
    const [best] = await classifier.predict(bytes);
    if (best) expected.push({ bytes, ...best });
  }
  await classifier.backbone.release();
  if (expected.length === 0) throw new LastlayerError(`There are no pictures in ${dataset}.`);
  return expected;
}
