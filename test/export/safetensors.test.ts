import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportSafetensors } from '../../src/export/safetensors.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { temporaryFolder } from '../support/files.js';
import { madeUpHead } from '../support/made-up-head.js';

const folder = await temporaryFolder();
const head = madeUpHead({ id: 'resnet18@0', transformId: 'v1', width: 512 });

async function exported(calibrated: boolean) {
  const path = join(folder, `${calibrated}.safetensors`);
  expect(await exportSafetensors(head, path, { calibrated })).toEqual({
    path,
    calibrated,
    classes: 3,
    width: 512,
  });
  return readSafetensors(readFileSync(path), path);
}

it('the layer is as it was trained, and the metadata say what it is of', async () => {
  const { tensors, metadata } = await exported(false);
  expect([...tensors.keys()].sort()).toEqual(['fc.bias', 'fc.weight']);
  expect(tensors.get('fc.weight')).toEqual({
    shape: [3, 512],
    data: Float32Array.from(head.weights.to1DArray()),
  });
  expect(tensors.get('fc.bias')).toEqual({ shape: [3], data: head.bias });
  expect(metadata).toMatchObject({
    ...{ labels: '["ant","bee","wasp"]', kind: 'softmax', thresholds: 'null', temperature: '1.7' },
    ...{ modelId: 'resnet18@0', transformId: 'v1', created: '2026-01-02T03:04:05.000Z' },
  });
});

it('calibrated, it is divided by the temperature', async () => {
  const { tensors, metadata } = await exported(true);
  expect(metadata['temperature']).toBe('1');
  expect(tensors.get('fc.bias')?.data).toEqual(head.bias.map((value) => value / 1.7));
  expect(tensors.get('fc.weight')?.data).toEqual(Float32Array.from(head.weights.to1DArray(), (value) => value / 1.7));
});

it('a place that cannot be written to is named', async () => {
  await expect(exportSafetensors(head, join(folder, 'true.safetensors', 'fc.safetensors'))).rejects.toThrow(
    /true\.safetensors.fc\.safetensors cannot be written: .* Name another place/,
  );
});
