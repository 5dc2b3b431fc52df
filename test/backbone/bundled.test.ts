import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ANTS_AND_BEES, loadBackbone } from '../../src/backbone/load.js';
import { BUNDLED_PATH } from '../../src/backbone/models.js';
import { trainFromStore } from '../../src/classify/train.js';
import { embedDataset } from '../../src/embed/embed.js';
import { ROOT, temporaryFolder } from '../support/files.js';
import { ofClasses } from '../support/softmax.js';

const root = await temporaryFolder();
const modelsDir = join(root, 'models');
const bundled = await loadBackbone({ modelsDir });

describe('the bundled backbone', () => {
  it('is what its card says, and the card says what it was made from', () => {
    const file = readFileSync(BUNDLED_PATH);
    const sha256 = createHash('sha256').update(file).digest('hex');
    const card: unknown = JSON.parse(readFileSync(BUNDLED_PATH.replace(/\.onnx$/, '.json'), 'utf8'));
    expect(card).toMatchObject({
      ...{
        file: 'resnet18-bundled.int8.onnx',
        sha256,
        id: bundled.id,
        licence: 'MIT AND BSD-3-Clause',
        pretrained: true,
      },
      ...{ featureWidth: 512, transform: bundled.transform },
      training: {
        teacher: expect.stringMatching(/ImageNet/) as unknown,
        pictures: expect.stringMatching(/generated/) as unknown,
        scores: {
          'hymenoptera, 245 + 153 pictures': {
            this: expect.stringContaining(`${ANTS_AND_BEES.bundled.toFixed(1)} (`) as unknown,
          },
        },
      },
    });
    expect(statSync(BUNDLED_PATH).size).toBeLessThan(12e6);
  });

  it('tells the drawn examples apart better than the untrained one, which reaches 33 of 40', async () => {
    const store = join(root, 'examples');
    await embedDataset(join(ROOT, 'test', 'fixtures', 'examples'), { backbone: bundled, store });
    const { validation } = ofClasses(await trainFromStore({ store, l2: 0.3, folds: 0 }));
    expect(validation?.accuracy).toBeGreaterThan(33.5 / 40);
  });
});
