import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { contentOf, firstDifference } from '../scripts/compare-commits/difference.js';
import { chooseSteps, prepare, stepsOn } from '../scripts/compare-commits/steps.js';
import { encodeSafetensors } from '../src/formats/safetensors.js';

const folder = await mkdtemp(join(tmpdir(), 'lastlayer-compare-'));
afterAll(() => rm(folder, { recursive: true }));

async function head(name: string, last: number, metadata: Record<string, string>): Promise<unknown> {
  const data = Float32Array.of(1, 2, last);
  const file = join(folder, name);
  await writeFile(file, encodeSafetensors(new Map([['fc.bias', { shape: [3], data }]]), metadata));
  return contentOf(file);
}

describe('npm run compare-commits', () => {
  it('names the last bit of a tensor and a field of its metadata, but not when it was made', async () => {
    const base = await head('a.safetensors', 1, { created: 'today', training: '{"loss":0.5}' });
    expect(
      firstDifference(base, await head('b.safetensors', 1, { created: 'now', training: '{"loss":0.5}' })),
    ).toBeUndefined();
    expect(firstDifference(base, await head('c.safetensors', 1 + 2 ** -23, { training: '{"loss":0.5}' }))).toEqual({
      field: 'tensors.fc.bias.data[2]',
      base: 1,
      head: 1 + 2 ** -23,
    });
    expect(firstDifference(base, await head('d.safetensors', 1, { training: '{"loss":0.4}' }))).toEqual({
      field: 'metadata.training.loss',
      base: 0.5,
      head: 0.4,
    });
  });

  it('knows renamed fields and folders, and sees those that are missing', () => {
    expect(firstDifference({ leftOut: 1, unseen: 0 }, { skipped: 1 })).toBeUndefined();
    expect(firstDifference({ out: '/a/x' }, { out: '/b/x' }, [['/a', '<work>']])).toBeDefined();
    expect(
      firstDifference({ out: '/a/x' }, { out: '/b/x' }, [
        ['/a', '<work>'],
        ['/b', '<work>'],
      ]),
    ).toBeUndefined();
    expect(firstDifference({ rows: [1, 2] }, { rows: [1] })).toEqual({
      field: 'rows.length',
      base: 2,
      head: 1,
    });
    expect(firstDifference({ detail: 'ant 96 %' }, { detail: '96 % ant' })).toBeUndefined();
    expect(firstDifference({ detail: 'ant 96 %' }, { detail: 'ant 95 %' })).toBeDefined();
    expect(firstDifference({}, { added: null })).toEqual({ field: 'added', base: undefined, head: null });
  });

  it('runs the steps that are asked for after those that they need', async () => {
    const steps = stepsOn(await prepare(join(folder, 'inputs'), 'test/fixtures/examples', 'resnet18.pth'));
    expect(chooseSteps(steps, ['evaluate/multilabel']).map(({ name }) => name)).toEqual([
      ...['embed/int8', 'embed/int8-multilabel', 'train-head/multilabel', 'evaluate/multilabel'],
    ]);
    expect(chooseSteps(steps, [])).toEqual(steps);
    expect(() => chooseSteps(steps, ['evaluat'])).toThrow('There is no step evaluat.');
  });
});
