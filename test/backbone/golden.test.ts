import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Backbone } from '../../src/backbone/backbone.js';
import { fetchModel } from '../../src/backbone/fetch/fetch-model.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { embedImages } from '../../src/classify/classifier.js';
import { describeWith, temporaryFolder } from '../support/files.js';

const FILES = ['resnet18-golden.pth', 'resnet18-golden-legacy.pth', 'resnet18-golden.safetensors'];
const CARD = { name: 'resnet18', featureWidth: 512, classes: 1000 };

const folder = await temporaryFolder();

describeWith('golden', 'a checkpoint of PyTorch', (golden) => {
  let images: string[];
  let embeddings: Float32Array;
  let fetched: Awaited<ReturnType<typeof fetchModel>>;
  let backbone: Backbone;

  beforeAll(async () => {
    ({ images } = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8')) as { images: string[] });
    embeddings = floats(join(golden, 'embeddings.f32'));
    fetched = await fetchModel({ from: join(golden, FILES[0] ?? ''), out: join(folder, '0.onnx') });
    backbone = await loadBackbone({ model: fetched.path });
  });

  it('gives the same model in all three formats, fetched or used directly', async () => {
    expect(fetched.card).toMatchObject(CARD);
    for (const [i, file] of FILES.entries()) {
      expect((await loadBackbone({ model: join(golden, file) })).id).toBe(backbone.id);
      if (i === 0) continue;
      const { path, card } = await fetchModel({ from: join(golden, file), out: join(folder, `${i}.onnx`) });
      expect(readFileSync(path).equals(readFileSync(fetched.path))).toBe(true);
      expect(card).toMatchObject(CARD);
    }
  });

  it("gives PyTorch's embeddings and logits from the same inputs", async () => {
    const found = await backbone.run(floats(join(golden, 'inputs.f32')), { logits: true });
    expectClose(found.embedding, embeddings);
    expectClose(found.logits ?? new Float32Array(), floats(join(golden, 'logits.f32')));
  });

  it("gives PyTorch's embeddings from the pictures themselves, to a cosine of 0.9999", async () => {
    const found = await embedImages(
      backbone,
      images.map((name) => join(golden, 'images', name)),
    );
    const cosines = images.map((_, i) =>
      cosine(found.subarray(i * 512, (i + 1) * 512), embeddings.subarray(i * 512, (i + 1) * 512)),
    );
    expect(cosines).toHaveLength(8);
    expect(Math.min(...cosines)).toBeGreaterThanOrEqual(0.9999);
  });
});

function floats(path: string): Float32Array {
  const bytes = readFileSync(path);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4).slice();
}

/** max |Δ| ≤ 1e-4 · max |expected| */
function expectClose(found: Float32Array, expected: Float32Array): void {
  expect(found.length).toBe(expected.length);
  const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const difference = found.reduce((max, value, i) => Math.max(max, Math.abs(value - (expected[i] ?? NaN))), 0);
  expect(largest).toBeGreaterThan(0);
  expect(difference).toBeLessThanOrEqual(1e-4 * largest);
}

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * (y[i] ?? NaN), 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
