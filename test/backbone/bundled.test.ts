import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { BUNDLED_PATH, loadBackbone } from '../../src/backbone/index.js';
import { embedDataset, trainFromStore } from '../../src/index.js';
import { describeWith, ROOT, temporaryFolder } from '../support/files.js';

const root = await temporaryFolder();
const modelsDir = join(root, 'models');
const bundled = await loadBackbone({ modelsDir });

/** Validation accuracy of a head, whose penalty is set, on the embeddings of the bundled trunk. */
async function accuracyOn(dataset: string): Promise<number> {
  const store = join(root, basename(dataset));
  await embedDataset(dataset, { backbone: bundled, store });
  return (await trainFromStore({ store, l2: 0.3, folds: 0 })).validation?.accuracy ?? NaN;
}

describe('the bundled trunk', () => {
  it('is what its card says, and the card says what it was made from', () => {
    const file = readFileSync(BUNDLED_PATH);
    const sha256 = createHash('sha256').update(file).digest('hex');
    const card: unknown = JSON.parse(readFileSync(BUNDLED_PATH.replace(/\.onnx$/, '.json'), 'utf8'));
    expect(card).toMatchObject({
      ...{ file: 'resnet18-bundled.int8.onnx', sha256, id: bundled.id, licence: 'MIT', pretrained: true },
      ...{ featureWidth: 512, transform: bundled.transform },
      training: {
        pictures: expect.stringMatching(/generated/) as unknown,
        scores: expect.anything() as unknown,
      },
    });
    expect(statSync(BUNDLED_PATH).size).toBeLessThan(12e6);
  });

  it('tells the drawn examples apart better than the untrained one, which reaches 33 of 40', async () => {
    expect(await accuracyOn(join(ROOT, 'test', 'fixtures', 'examples'))).toBeGreaterThan(33.5 / 40);
  });
});

describeWith('data/imagenette-mini', 'photographs of ten classes', (pictures) => {
  it('are told apart by at least ten points better than from untrained features, which reach 40.3 %', async () => {
    expect(await accuracyOn(pictures)).toBeGreaterThan(0.503);
  });
});
