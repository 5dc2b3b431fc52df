import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadHead, saveHead } from '../../src/head/file.js';
import { lastlayer } from '../support/command-line.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { hardlyTypical } from '../support/hardly-typical.js';
import { smallNetwork } from '../support/small-network.js';

const root = await temporaryFolder();
const data = join(root, 'data');
const model = ['--model', 'small.onnx'];

async function run(...args: string[]) {
  return lastlayer(args, root);
}

beforeAll(async () => {
  await writeFile(join(root, 'small.onnx'), smallNetwork());
  await stripedDataset(data, { '.': { flat: 12, steep: 12 } });
  expect((await run('embed', data, ...model)).code).toBe(0);
});

test('no option is needed: λ is chosen, the head judged by cross-validation, and that is told', async () => {
  const { code, stdout } = await run('train-head');
  expect(code).toBe(0);
  expect(stdout).toMatch(/λ [\d.e-]+, the least log loss in 5-fold cross-validation:/);
  expect(stdout).toMatch(/\n {2}→ [\d.e-]+ +\d\.\d{3} ± \d\.\d{3} +[\d.]+ %\n/);
  expect(stdout).toMatch(/temperature \d+\.\d\d: calibration error/);
  expect(stdout).toMatch(/new pictures, by 5-fold cross-validation: accuracy [\d.]+ % of 24, 95 % interval/);
  expect(stdout).toMatch(/nearest class mean [\d.]+ %, 10 nearest neighbours/);
  expect(stdout).toContain(`Wrote the head to ${join(root, 'head.safetensors')}`);
});

test('--json has it all as one object, and options are heeded', async () => {
  const options = ['--l2-rule', 'one-se', '--folds', '3', '--class-weights', '{"flat": 2}', '--learning-curve'];
  const { code, stdout } = await run('train-head', ...options, '--label-smoothing', '0.1', '--json');
  expect(code).toBe(0);
  const result: unknown = JSON.parse(stdout);
  expect(result).toMatchObject({
    labels: ['flat', 'steep'],
    training: { labelSmoothing: 0.1 },
    validatedOn: 'cross-validation',
    crossValidation: { folds: 3, rule: 'one-se', path: expect.any(Array) as [] },
    learningCurve: [{ share: 0.1 }, { share: 0.2 }, { share: 0.4 }, { share: 0.8 }, { share: 1 }],
  });
});

async function saveHardlyTypical(): Promise<void> {
  await saveHead(join(root, 'strict.safetensors'), hardlyTypical(await loadHead(join(root, 'head.safetensors'))));
}

test('predict says how typical a picture is, and below the rate first that it is unlike the training pictures', async () => {
  await saveHardlyTypical();
  const picture = join(data, 'flat', '0.png');
  const args = ['predict', '--head', 'strict.safetensors', ...model, picture];
  for (const [rate, isUnknown] of [
    [undefined, false],
    ['0.01', false],
    ['0.2', true],
    ['off', false],
  ] as const) {
    const options = rate === undefined ? [] : ['--unknown', rate];
    const { stdout } = await run(...args, ...options, '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      predictions: [
        { path: picture, typicality: 0.1, unknown: isUnknown, predictions: [{ label: 'flat' }, { label: 'steep' }] },
      ],
    });
    expect((await run(...args, ...options)).stdout).toMatch(
      isUnknown
        ? /0\.png: unlike the training pictures \(typicality 0\.100\), best guess flat\n {2}flat/
        : /0\.png: typicality 0\.100\n {2}flat/,
    );
  }
});

test('evaluate counts the pictures that are called unknown', async () => {
  await saveHardlyTypical();
  const args = ['evaluate', '--head', 'strict.safetensors', ...model, data];
  expect((await run(...args, '--unknown', '0.2')).stdout).toMatch(
    /unlike the training pictures \(typicality below 0\.2\): 24 of 24 right predictions, 0 of 0 wrong ones\n/,
  );
  const { stdout } = await run(...args, '--json');
  expect(JSON.parse(stdout)).toMatchObject({
    calledUnknown: { rate: 0.05, right: 0, wrong: 0, others: 0 },
    metrics: { count: 24, calibration: { bins: expect.any(Array) as [] } },
  });
});

test('train-head keeps the rate of unknown pictures, or none, in the head', async () => {
  for (const rate of [0.2, 'off'] as const) {
    const { stdout } = await run('train-head', '--unknown', String(rate), '--out', 'rate.safetensors', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ unknownRate: rate, crossValidation: { unknown: { rate } } });
    expect((await loadHead(join(root, 'rate.safetensors'))).unknown?.rate).toBe(rate);
  }
});

test.each([
  [
    'train-head',
    ['--unknown', '5'],
    /argument '5' is invalid\. It must be a number above 0 and below 1, such as 0\.05, or off\./,
  ],
  [
    'train-head',
    ['--unknown', '0.1', '--folds', '0'],
    /rate of unknown pictures \(--unknown\), but that takes cross-validation/,
  ],
  ['predict', ['--unknown', 'off', '--pretrained-classes', 'x.png'], /--unknown needs a head/],
])('%s %j is refused', async (command, args, message) => {
  const { code, stderr } = await run(command, ...args);
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
});

test.each([
  ['{"flat": "two"}', /--class-weights is \{"flat":"two"\}\. Write for example/],
  ['{"flat": 2', /--class-weights is not valid JSON/],
  ['missing.json', /--class-weights is missing\.json\. It must be none, balanced, JSON or a readable file/],
  ['{"wasp": 2}', /There is a weight for the class "wasp", which is not among the training examples/],
])('--class-weights %s is refused', async (weights, message) => {
  const { code, stderr } = await run('train-head', '--class-weights', weights);
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
});

test('λ = 0 on classes that can be told apart has no optimum, which is no crash', async () => {
  const { code, stderr } = await run('train-head', '--l2', '0', '--folds', '0');
  expect(code).toBe(1);
  expect(stderr).toMatch(/There is no finite optimum: .* Leave --l2 out to have it chosen/);
});

test('a head that is no better than the most common class is said to be so, in the first line', async () => {
  const random = join(root, 'random');
  await stripedDataset(random, { '.': { cat: 14, dog: 6 } });
  const store = ['--store', 'random-store'];
  expect((await run('embed', random, ...store, ...model)).code).toBe(0);
  const { code, stdout } = await run('train-head', ...store, '--out', 'random.safetensors');
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^NOT clearly better than always answering "cat", which is right for 70\.0 %: .*--class-weights/,
  );
  expect(stdout).toMatch(
    /for comparison, without training: always "cat" 70\.0 % \(log loss of the classes' shares 0\.611\)/,
  );
  const better = await run('train-head');
  expect(better.stdout).not.toContain('NOT clearly better');
  const html = join(root, 'report.html');
  expect((await run('report', ...store, '--head', 'random.safetensors', '--out', html)).code).toBe(0);
  const report = await readFile(html, 'utf8');
  expect(report).toMatch(/not clearly better than always answering\s+“cat”/);
  expect(report).toContain('always “cat”');
});
