import { LabelClassifier } from '../../src/label/learn/classifier.js';
import { Material } from '../../src/label/learn/material.js';
import { NOTHING_SAID } from '../../src/label/state.js';

const WIDTH = 48;

/** A number between −1 and 1 that looks random. */
const noise = (seed: number) => (Math.sin(seed) * 43758.5453) % 1;

/**
 * Pictures of some classes in turn, all labelled.
 * @param spread how far pictures are from the centre of their class
 */
function labelledMaterial({
  classes,
  pictures,
  spread,
}: {
  classes: number;
  pictures: number;
  spread: number;
}): Material {
  const material = new Material();
  const embeddings = new SharedArrayBuffer(4 * WIDTH * pictures);
  new Float32Array(embeddings).forEach((_, i, all) => {
    const [picture, j] = [Math.floor(i / WIDTH), i % WIDTH];
    all[i] = noise(1 + (picture % classes) * WIDTH + j) + spread * noise(1e4 + i);
  });
  const paths = Array.from({ length: pictures }, (_, i) => `${i}.jpg`);
  const each = <T>(value: T) => paths.map(() => value);
  const columns = { digests: paths, widths: each(1), heights: each(1), problems: each(null) };
  material.addPictures({ embeddings, width: WIDTH, paths, ...columns, fingerprints: new Uint8Array(257 * pictures) });
  material.setState({
    seq: 1,
    valueOf: Int32Array.from({ length: pictures }, (_, i) => i % classes),
    values: Array.from({ length: classes }, (_, n) => ({ ...NOTHING_SAID, labels: [n], labelled: true })),
    classes: Array.from({ length: classes }, (_, n) => ({ name: `class ${n}`, removed: false })),
    multilabel: false,
  });
  return material;
}

/** What the classifier says after each of some times that it learns from the same labels. */
async function learnt(material: Material, times: number) {
  const classifier = new LabelClassifier(material, { modelId: 'any', transformId: 'any' });
  const accuracies: (number | undefined)[] = [];
  for (let i = 0; i < times; i++) {
    await classifier.learn(new AbortController().signal);
    accuracies.push(classifier.state.evaluation?.accuracy);
  }
  await classifier.release();
  return { accuracies, suggestions: classifier.suggestions };
}

test('accuracy is that on pictures that were not learnt from, also once all of them were', async () => {
  const { accuracies } = await learnt(labelledMaterial({ classes: 6, pictures: 60, spread: 2 }), 3);
  const [first = NaN] = accuracies;
  expect(first).toBeGreaterThan(0.5);
  expect(first).toBeLessThan(0.95);
  expect(accuracies).toEqual([first, first, first]);
});

test('few pictures that are hard to tell apart still give suggestions of all classes', async () => {
  const { accuracies, suggestions } = await learnt(labelledMaterial({ classes: 2, pictures: 25, spread: 30 }), 1);
  expect(accuracies[0]).toBeLessThan(0.7);
  expect(new Set(suggestions?.best)).toEqual(new Set([0, 1]));
});
