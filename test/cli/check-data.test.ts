import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import sharp from 'sharp';
import { lastlayer, lastlayerProcess } from '../support/command-line.js';
import { describeWith, SHARED, stripedDataset, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';
import { plantFaults } from '../support/planted.js';

const root = await temporaryFolder();
const data = join(root, 'data');
const model = ['--model', 'small.onnx'];

interface Checked {
  findings: { issue: string; path: string; related?: string; suggestedLabel?: string }[];
  pictures: number;
}

async function run(...args: string[]) {
  return lastlayer(args, root);
}

async function check(...args: string[]): Promise<Checked> {
  const { code, stdout, stderr } = await run('check-data', '--json', ...args);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return JSON.parse(stdout) as Checked;
}

function pathsOf({ findings }: Checked, issue: string): string[] {
  return findings.filter((finding) => finding.issue === issue).map(({ path }) => path);
}

const copy = join(data, 'val', 'flat', 'copy.jpg');
const mirrored = join(data, 'train', 'slanted', 'mirrored, "again".png');
const black = join(data, 'train', 'flat', 'black.png');
const grey = join(data, 'train', 'steep', 'grey.png');

beforeAll(async () => {
  await writeFile(join(root, 'small.onnx'), smallNetwork());
  await stripedDataset(data, {
    train: { flat: 8, steep: 8, slanted: 8 },
    val: { flat: 3, steep: 3, slanted: 3 },
  });
  const original = join(data, 'train', 'flat', '2.png');
  await sharp(original).resize(60).jpeg({ quality: 70 }).toFile(copy);
  await sharp(join(data, 'train', 'slanted', '1.png'))
    .flop()
    .toFile(mirrored);
  const pixels = { width: 90, height: 80, channels: 3, background: '#050505' } as const;
  await sharp({ create: pixels }).png().toFile(black);
  await sharp(join(data, 'val', 'steep', '0.png'))
    .extract({ left: 8, top: 0, width: 66, height: 64 })
    .greyscale()
    .toFile(grey);
  expect((await run('embed', data, ...model)).code).toBe(0);
});

test('what the pictures show is told, and a table by default', async () => {
  const result = await check();
  expect(pathsOf(result, 'leak')).toEqual([copy]);
  expect(pathsOf(result, 'near duplicate')).toContain(copy);
  expect(pathsOf(result, 'empty')).toEqual([black]);
  expect(pathsOf(result, 'grey')).toEqual([grey]);
  const { stdout } = await lastlayerProcess(['check-data'], root).outcome;
  expect(stdout).toMatch(/leak, 1: a training picture is in validation/);
  expect(stdout).toMatch(/\n {2}val\/flat\/copy\.jpg: in val, and the same picture .* see train\/flat\/2\.png\n/);
});

test('no file is opened: what the pictures look like is in the store', async () => {
  const gone = join(root, 'gone');
  await rename(data, gone);
  try {
    const result = await check();
    expect(pathsOf(result, 'leak')).toEqual([copy]);
    expect(pathsOf(result, 'empty')).toEqual([black]);
  } finally {
    await rename(gone, data);
  }
});

test('--out writes a manifest that embed takes, whatever the names', async () => {
  const { findings } = await check('--out', 'checked.csv');
  const text = await readFile(join(root, 'checked.csv'), 'utf8');
  expect(text).toMatch(/^path,label,split,group,weight,issue,suggested_label,related,detail\n/);
  expect(text).toContain(`"${mirrored.replaceAll('"', '""')}",slanted,train`);
  expect(text).toContain(`${copy},flat,val,,,leak; near duplicate`);
  const flagged = [...new Set(findings.map(({ path }) => path))];
  const written = parse<{ path: string }>(text, { columns: true }).map(({ path }) => path);
  expect(written.slice(0, flagged.length)).toEqual(flagged);
  expect(written).toHaveLength(37);
  const { code, stdout } = await run('embed', 'checked.csv', ...model, '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    total: 37,
    embedded: 0,
    reused: 37,
    splits: { train: 27, val: 10 },
  });
});

test('a folder that is not there for --out is told of', async () => {
  const { code, stderr } = await run('check-data', '--dataset', data, '--out', 'missing/checked.csv');
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: expect.stringMatching(/--out .*cannot be written/) as string,
  });
});

test('lists of labels are checked, and go into the manifest and back', async () => {
  const listed = join(root, 'lists.csv');
  const folders = ['flat', 'steep', 'slanted'];
  const rows = folders.flatMap((label) =>
    Array.from({ length: 8 }, (_, i) => {
      const labels = label === 'slanted' ? (i === 3 ? ['flat'] : ['flat', 'steep']) : [label];
      return `${join(data, 'train', label, `${i}.png`)},${labels.join(';')}`;
    }),
  );
  await writeFile(listed, ['path,labels', ...rows, `${copy},steep`].join('\n'));
  const store = ['--store', 'lists'];
  expect((await run('embed', 'lists.csv', ...model, ...store)).code).toBe(0);
  const result = await check(...store, '--out', 'lists-checked.csv');
  expect(pathsOf(result, 'conflicting labels')).toEqual([join(data, 'train', 'flat', '2.png'), copy].sort());
  const text = await readFile(join(root, 'lists-checked.csv'), 'utf8');
  expect(text).toMatch(/^path,labels,split,group,weight,issue,suggested_labels,related,detail\n/);
  expect(text).toContain('4.png,flat;steep,');
  const { code, stdout } = await run('embed', 'lists-checked.csv', ...model, ...store, '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ total: 25, reused: 25, labels: { flat: 16, steep: 16 } });
});

describeWith('data/imagenette-mini', 'faults planted among photographs', (photographs) => {
  it('are found', async () => {
    const planted = await plantFaults(photographs, join(root, 'planted'));
    const weights = join(SHARED, 'weights', 'resnet18-natural.safetensors');
    const { code } = await run('embed', planted.folder, '--model', weights, '--store', 'planted-store');
    expect(code).toBe(0);
    const result = await check('--store', 'planted-store');
    expect(pathsOf(result, 'leak').sort()).toEqual(planted.copies);
    expect(pathsOf(result, 'empty').sort()).toEqual(planted.black);
    const suspects = pathsOf(result, 'label error');
    const hits = suspects.filter((path) => planted.swapped.includes(path)).length;
    expect(hits / planted.swapped.length).toBeGreaterThanOrEqual(0.8);
    expect(hits / suspects.length).toBeGreaterThanOrEqual(0.5);
  });
});
