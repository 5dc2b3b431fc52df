/**
 * Turns the state_dict that train.py wrote into the backbone that ships with the project: folds BatchNorm, rounds to int8
 * with ranges from drawn pictures, and writes models/resnet18-bundled.int8.onnx and the card beside it.
 *
 *     node --import tsx scripts/pretrain/convert.ts backbone.pth --calibrate FOLDER --notes notes.json
 *
 * The notes are an object, which the card holds as its `training`: how the weights were made, and what they score.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { Backbone } from '../../src/backbone/backbone.js';
import { readCheckpoint } from '../../src/backbone/checkpoint/read.js';
import { BUNDLED, BUNDLED_PATH } from '../../src/backbone/load.js';
import { writeModel } from '../../src/backbone/model-card.js';
import { describeModel } from '../../src/backbone/model.js';
import { quantizeBackbone } from '../../src/backbone/quantize/quantize.js';
import { resNetGraph } from '../../src/backbone/resnet.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    calibrate: { type: 'string' },
    notes: { type: 'string' },
    pictures: { type: 'string', default: '128' },
  },
});
const [checkpoint] = positionals;
if (!checkpoint || !values.calibrate || !values.notes) {
  throw new Error('Name a state_dict, --calibrate FOLDER and --notes FILE.');
}
const folder = await mkdtemp(join(tmpdir(), 'lastlayer-convert-'));
try {
  const path = join(folder, 'float32.onnx');
  const graph = resNetGraph(
    await readCheckpoint(checkpoint, checkpoint),
    checkpoint,
    BUNDLED.replace('.int8', ''),
  );
  const model = { ...describeModel(graph, path), width: 512 };
  await writeModel(path, model, { source: basename(checkpoint), licence: 'MIT' });
  const { card, calibratedOn } = await quantizeBackbone(new Backbone(model, path), values.calibrate, {
    out: BUNDLED_PATH,
    pictures: Number(values.pictures),
  });
  const notes = JSON.parse(await readFile(values.notes, 'utf8')) as object;
  const described = {
    ...card,
    source: `scripts/pretrain, calibrated on ${calibratedOn.length} drawn pictures`,
    sourceSha256: createHash('sha256')
      .update(await readFile(checkpoint))
      .digest('hex'),
    training: notes,
  };
  await writeFile(BUNDLED_PATH.replace(/\.onnx$/, '.json'), `${JSON.stringify(described, null, 2)}\n`);
  console.log(`${BUNDLED_PATH}: ${card.id}`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
