import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { Backbone } from '../../src/backbone/backbone.js';
import { readCheckpoint } from '../../src/backbone/checkpoint/read.js';
import { writeModel } from '../../src/backbone/model-card.js';
import { describeModel } from '../../src/backbone/model.js';
import { BUNDLED, BUNDLED_PATH } from '../../src/backbone/models.js';
import { quantizeBackbone } from '../../src/backbone/quantize/quantize.js';
import { resNetGraph } from '../../src/backbone/resnet.js';
import { sha256OfFile } from '../../src/util/files.js';
import { count, existingPath, run, script } from '../support/script.js';

/** Ours, and that of torchvision, whose weights taught the student; its notice lies beside the model. */
const LICENCE = 'MIT AND BSD-3-Clause';

export const command = script(
  'pretrain-convert',
  `Make the bundled backbone from the state_dict that distil.py wrote: fold BatchNorm, quantize to int8, and write
models/${BUNDLED}.onnx with its card.`,
  ['backbone.pth --calibrate calibration --notes notes.json'],
)
  .argument('<checkpoint>', 'state_dict that distil.py wrote', existingPath)
  .requiredOption('--calibrate <folder>', 'drawn pictures that give the ranges for int8', existingPath)
  .requiredOption('--notes <file>', 'JSON object for `training` in the card: origin and scores', existingPath)
  .option('--pictures <n>', 'pictures to calibrate on', count, 128)
  .action(convert);
await run(import.meta.url, command);

interface Options {
  calibrate: string;
  notes: string;
  pictures: number;
}

async function convert(checkpoint: string, { calibrate, notes, pictures }: Options): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lastlayer-convert-'));
  try {
    const path = join(folder, 'float32.onnx');
    const graph = resNetGraph(
      await readCheckpoint(await readFile(checkpoint), checkpoint),
      checkpoint,
      BUNDLED.replace('.int8', ''),
    );
    const model = { ...describeModel(graph, path), width: 512 };
    await writeModel(path, model, { source: basename(checkpoint), licence: LICENCE });
    const training = JSON.parse(await readFile(notes, 'utf8')) as object;
    const { card, calibratedOn } = await quantizeBackbone(new Backbone(model, path), calibrate, {
      out: BUNDLED_PATH,
      force: true,
      pictures,
    });
    const described = {
      ...card,
      source: `scripts/pretrain, distilled from a ResNet-18 with ImageNet weights, calibrated on ${calibratedOn.length} drawn pictures`,
      sourceSha256: await sha256OfFile(checkpoint),
      training,
    };
    await writeFile(BUNDLED_PATH.replace(/\.onnx$/, '.json'), `${JSON.stringify(described, null, 2)}\n`);
    console.log(`${BUNDLED_PATH}: ${card.id}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
