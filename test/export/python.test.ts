import { readFileSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { Classifier } from '../../src/classify/classifier.js';
import { exportOnnx } from '../../src/export/onnx.js';
import { exportSafetensors } from '../../src/export/safetensors.js';
import { exportEmbeddings } from '../../src/export/tables.js';
import { writeStore } from '../support/embeddings.js';
import { describeWith, ROOT, temporaryFolder } from '../support/files.js';
import { madeUpHead } from '../support/made-up-head.js';
import { describeWithPackages, describeWithPython, runPython } from '../support/python.js';

/** The Python of docs/export.md, a program for each format. */
const programs = [...readFileSync(join(ROOT, 'docs', 'export.md'), 'utf8').matchAll(/```python\n(.*?)```/gs)].map(
  ([, program = '']) => program,
);
const program = (naming: string) => {
  const found = programs.find((text) => text.includes(naming));
  if (found === undefined) throw new Error(`docs/export.md has no Python that names ${naming}.`);
  return found;
};

const folder = await temporaryFolder();

const store = join(folder, 'store');
const rows = ['bee', 'ant', 'bee'].map((label, i) => ({
  ...{ path: `/data/${i}.png`, label, embedding: Float32Array.of(1 + i, 0.1, -i) },
}));
await writeStore(store, rows, 3);

describeWithPackages(
  'pandas',
  'pyarrow',
  'duckdb',
)('in pandas and DuckDB', () => {
  it('the Parquet file has the embeddings, and classes and neighbours come out of it', async () => {
    await exportEmbeddings(join(folder, 'embeddings.parquet'), { format: 'parquet', store });
    const found = await runPython(
      `${program('embeddings.parquet')}
import json
table = [[row.path, row.label, str(x.dtype), x.tolist()] for row, x in zip(frame.itertuples(), X)]
print(json.dumps([sorted(table), classes.values.tolist(), frame['path'][0] == nearest['path'][0], nearest['cosine'].tolist()]))`,
      folder,
    );
    const [first, ...others] = rows.map(({ embedding }) => embedding);
    const cosines = others.map((other) => cosine(first ?? other, other)).sort((a, b) => b - a);
    const classes = Object.entries({ ant: 1, bee: 2 });
    expect(found).toEqual([
      rows.map(({ path, label, embedding }) => [path, label, 'float32', Array.from(embedding)]),
      classes,
      true,
      [1, ...cosines].map((value) => expect.closeTo(value, 5) as number),
    ]);
  });
});

describeWithPython('in Python', () => {
  it('NumPy reads the embeddings, and the rows beside them', async () => {
    await exportEmbeddings(join(folder, 'embeddings.npy'), { format: 'npy', store });
    const found = await runPython(
      `${program('embeddings.npy').replace(/print.*/, '')}
import json
print(json.dumps(sorted([row['path'], y[i].item(), str(X.dtype), X[i].tolist()] for i, row in enumerate(rows))))`,
      folder,
    );
    expect(found).toEqual(rows.map(({ path, label, embedding }) => [path, label, 'float32', Array.from(embedding)]));
  });

  describeWith('golden', 'a backbone of PyTorch', (golden) => {
    const { images } = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8')) as {
      images: string[];
    };
    let classifier: Classifier;

    beforeAll(async () => {
      const checkpoint = join(folder, 'resnet18-f37072fd.pth');
      await copyFile(join(golden, 'resnet18-golden.pth'), checkpoint);
      await copyFile(join(golden, 'inputs.f32'), join(folder, 'inputs.f32'));
      const backbone = await loadBackbone({ model: checkpoint });
      classifier = new Classifier(backbone, madeUpHead(backbone));
    });

    it('the layer gives torchvision’s resnet18 the logits of the head, to 1e-4', async () => {
      await exportSafetensors(classifier.head, join(folder, 'fc.safetensors'));
      const inputs = floats(join(golden, 'inputs.f32'));
      const { embedding } = await classifier.backbone.run(inputs);
      const found = (await runPython(
        `${program('fc.safetensors')}
import numpy
batch = torch.from_numpy(numpy.fromfile('inputs.f32', dtype='<f4').reshape(-1, 3, 224, 224))
print(json.dumps([labels, temperature, model(batch).tolist(), predict(batch).tolist()]))`,
        folder,
      )) as [string[], number, number[][], number[][]];
      expect(found.slice(0, 2)).toEqual([['ant', 'bee', 'wasp'], 1.7]);
      expect(distance(found[2], classifier.head.logits(embedding).to2DArray())).toBeLessThan(1e-4);
      expect(distance(found[3], classifier.head.predictProba(embedding).to2DArray())).toBeLessThan(1e-4);
    });

    it('the network gives the probabilities of predict', async () => {
      const paths = images.map((name) => join(golden, 'images', name));
      await exportOnnx(classifier, join(folder, 'classifier.onnx'), { pictures: paths.slice(0, 2) });
      for (const name of images) {
        // Whatever its ending: Pillow looks at the bytes.
        await copyFile(join(golden, 'images', name), join(folder, 'picture.jpg'));
        const found = (await runPython(
          program('classifier.onnx')
            .replace('print(', 'print(json.dumps(')
            .replace(/\)\s*$/, '))'),
          folder,
        )) as Record<string, number>;
        const predictions = await classifier.predict(join(golden, 'images', name), { topK: 3 });
        expect(Object.keys(found)).toEqual(['ant', 'bee', 'wasp']);
        for (const { label, probability } of predictions) {
          expect(Math.abs((found[label] ?? NaN) - probability)).toBeLessThan(0.05);
        }
      }
    });
  });
});

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * (y[i] ?? NaN), 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

function floats(path: string): Float32Array {
  const bytes = readFileSync(path);
  return new Float32Array(new Uint8Array(bytes).buffer);
}

/** The largest difference of two tables of numbers. */
function distance(found: number[][], expected: number[][]): number {
  expect(found.map((row) => row.length)).toEqual(expected.map((row) => row.length));
  return Math.max(...expected.flatMap((row, i) => row.map((value, n) => Math.abs(value - (found[i]?.[n] ?? NaN)))));
}
