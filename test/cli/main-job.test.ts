import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { Classifier } from '../../src/classify/classifier.js';
import { COMMANDS } from '../../src/cli/commands.js';
import { lastlayer, lastlayerProcess, type Outcome } from '../support/command-line.js';
import { ROOT, temporaryFolder } from '../support/files.js';

const BUNDLED = join(ROOT, 'models', 'resnet18-bundled.int8.onnx');
const EXAMPLES = join(ROOT, 'test', 'fixtures', 'examples');

/** An empty folder that the commands run in one after another, as a newcomer runs them. */
const folder = await temporaryFolder();

/** Runs a command as a newcomer does. Most tests need only what it prints, for which `run` is faster. */
const runProcess = (...args: string[]): Promise<Outcome> => lastlayerProcess(args, folder).outcome;
const run = (...args: string[]): Promise<Outcome> => lastlayer(args, folder);

function json({ code, stdout, stderr }: Outcome): unknown {
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return JSON.parse(stdout);
}

function digestOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

interface EmbedResult {
  total: number;
  embedded: number;
  unchanged: number;
  splits: Record<string, number>;
  labels: Record<string, number>;
}

interface TrainResult {
  labels: string[];
  modelId: string;
  train: { accuracy: number; count: number };
  validation: { accuracy: number; count: number };
}

interface EvaluateResult {
  split: string;
  metrics: { accuracy: number; confusion: number[][] };
}

interface PredictResult {
  predictions: { path: string; predictions: { label: string; probability: number }[] }[];
}

interface InspectResult {
  layers: { parameters: number; frozen: boolean }[];
}

describe('from the example pictures to a head', () => {
  let trained: TrainResult;

  it('embed takes the bundled backbone and embeds the examples, and says both', async () => {
    const { code, stdout, stderr } = await runProcess('embed');
    expect(code).toBe(0);
    expect(stderr).toContain(`No data set is named. Using the example pictures: ${EXAMPLES}`);
    expect(stderr.match(/^The features are the bundled ones.*`npm run fetch-model`.*$/gm)).toHaveLength(1);
    expect(stdout).toMatch(/136 pictures .*\n.*butterfly 34, fish 34, flower 34, mushroom 34/);
    expect(stdout).toMatch(/136 embedded/);
    expect(readdirSync(folder)).toEqual(['embeddings']);
  });

  it('embed again embeds nothing', async () => {
    const result = json(await run('embed', '--json')) as EmbedResult;
    expect(result).toMatchObject({ total: 136, embedded: 0, unchanged: 136 });
    expect(result.splits).toEqual({ train: 96, val: 40 });
    expect(Object.values(result.labels)).toEqual([34, 34, 34, 34]);
  });

  it('train-head writes a head that is far better than chance, and leaves the backbone as it is', async () => {
    const frozen = digestOf(BUNDLED);
    trained = json(await runProcess('train-head', '--json')) as TrainResult;
    expect(trained.labels).toEqual(['butterfly', 'fish', 'flower', 'mushroom']);
    expect(trained.train.count).toBe(96);
    expect(trained.validation.count).toBe(40);
    expect(trained.validation.accuracy).toBeGreaterThan(0.6);
    expect(existsSync(join(folder, 'head.safetensors'))).toBe(true);
    expect(digestOf(BUNDLED)).toBe(frozen);
    expect(trained.modelId).toContain(frozen.slice(0, 12));
  });

  it('train-head in words names every class with its precision and recall', async () => {
    const { code, stdout } = await run('train-head');
    expect(code).toBe(0);
    expect(stdout).toMatch(/training: accuracy .*%/);
    expect(stdout).toMatch(/validation split: accuracy .*%/);
    expect(stdout).toMatch(/class +precision +recall/);
    for (const label of ['butterfly', 'fish', 'flower', 'mushroom']) {
      expect(stdout).toMatch(new RegExp(`${label}( +[\\d.]+ %){3} +10`));
    }
  });

  it('evaluate measures what train-head measured', async () => {
    const stored = json(await runProcess('evaluate', '--json')) as EvaluateResult;
    expect(stored.split).toBe('val');
    expect(stored.metrics.accuracy).toBe(trained.validation.accuracy);
    expect(stored.metrics.confusion.flat().reduce((sum, n) => sum + n, 0)).toBe(40);
    // Without the store, the embeddings are computed again and come out the same.
    const computed = await run('evaluate', EXAMPLES, '--store', 'no-store', '--json');
    expect((json(computed) as EvaluateResult).metrics).toEqual(stored.metrics);
  });

  it('predict names the classes of pictures and folders, best first', async () => {
    const picture = join(EXAMPLES, 'train', 'fish', 'fish-01.jpg');
    const { predictions } = json(
      await run('predict', picture, join(EXAMPLES, 'val', 'fish'), '--top-k', '4', '--json'),
    ) as PredictResult;
    expect(predictions).toHaveLength(11);
    const [first] = predictions;
    expect(first).toMatchObject({ path: picture });
    const probabilities = first?.predictions.map(({ probability }) => probability) ?? [];
    expect(first?.predictions[0]?.label).toBe('fish');
    expect(probabilities).toEqual([...probabilities].sort((a, b) => b - a));
    expect(probabilities.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 6);
  });

  it('predict gives as many classes as Classifier does, unless it is told', async () => {
    const picture = join(EXAMPLES, 'val', 'fish', 'fish-01.jpg');
    const { predictions } = json(await run('predict', picture, '--json')) as PredictResult;
    const classifier = await Classifier.load(join(folder, 'head.safetensors'));
    expect(predictions[0]?.predictions).toEqual((await classifier.classify(picture)).predictions);
    expect(predictions[0]?.predictions).toHaveLength(3);
  });

  it('predict goes on past what it cannot read, names it, and exits with 3', async () => {
    writeFileSync(join(folder, 'broken.jpg'), 'no picture');
    const picture = join(EXAMPLES, 'val', 'fish', 'fish-01.jpg');
    const { code, stdout, stderr } = await runProcess('predict', 'broken.jpg', 'missing.jpg', picture);
    expect(code).toBe(3);
    expect(stderr).toMatch(/broken\.jpg is no readable picture/);
    expect(stderr).toMatch(/missing\.jpg cannot be read/);
    expect(stdout).toContain('fish-01.jpg');
  });

  it('inspect prints the tree of layers, and that they are frozen', async () => {
    const { code, stdout } = await runProcess('inspect');
    expect(code).toBe(0);
    expect(stdout).toMatch(/conv1 +Conv 7×7 \/2 +64 × 112 × 112 +9,472 +frozen/);
    expect(stdout).toMatch(/fc \(your head\) .*trained/);
    const { layers } = json(await run('inspect', '--json')) as InspectResult;
    expect(layers.every(({ frozen }) => frozen)).toBe(true);
    // torchvision's resnet18 has 11,689,512 parameters, of which fc has 513,000; each of the 4,800 BatchNorm channels
    // has two, of which folding leaves one as the convolution's bias.
    expect(layers.reduce((sum, { parameters }) => sum + parameters, 0)).toBe(11_689_512 - 513_000 - 4_800);
  });
});

test('one picture is not "1 pictures"', async () => {
  const data = join(folder, 'one');
  mkdirSync(join(data, 'fish'), { recursive: true });
  copyFileSync(join(EXAMPLES, 'val', 'fish', 'fish-01.jpg'), join(data, 'fish', '1.jpg'));
  writeFileSync(join(data, 'fish', 'broken.jpg'), 'no picture');
  writeFileSync(join(data, 'fish', 'notes.txt'), 'no picture');
  const { stdout, stderr } = await run('embed', data, '--store', 'one-store');
  expect(stdout).toMatch(/: 2 pictures \(/);
  expect(stderr).toMatch(/skipped 1 file, not named like a picture/);
  expect(stderr).toMatch(/^1 picture could not be read/m);
  const check = await run('check-data', '--store', 'one-store');
  expect(check.stdout).toMatch(/ of 1 class, embedded by/);
});

describe('what makes no sense', () => {
  it.each([
    [['embed', '--batch-size', '0'], /--batch-size.*whole number of at least 1/],
    [['embed', '--store'], /--store/],
    [['embed', '--split', 'most'], /Allowed choices are train, val, test/],
    [['train-head', '--l2', '-1'], /--l2.*number of at least 0/],
    [['predict'], /missing required argument 'image'/],
    [['dance'], /unknown command 'dance'/],
    [['train'], /no command train\. `npm run train-head` does that/],
    [['eval', 'photos'], /`npm run evaluate`/],
    [['test'], /`npm run evaluate`/],
    [['check'], /`npm run check-data`/],
    [['classify', 'a.jpg'], /`npm run predict`/],
    [['infer', 'a.jpg'], /`npm run predict`/],
  ])('such as %j is wrong usage: exit code 2', async (args, reason) => {
    const { code, stdout, stderr } = await (args[0] === 'dance' ? runProcess : run)(...args);
    expect(stderr).toMatch(reason);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  });

  it.each([
    [['embed', 'no-such-folder'], /no-such-folder/],
    [['train-head', '--store', 'nothing'], /no embeddings at .*nothing.*npm run embed/],
    [
      ['predict', '--head', 'no-head.safetensors', 'a.jpg'],
      /no head no-head\.safetensors yet\. Run `npm run train-head -- --out no-head\.safetensors` first/,
    ],
    [['fetch-model', '--from', 'no-model.pth'], /no-model\.pth/],
  ])('such as %j fails with a plain reason: exit code 1', async (args, reason) => {
    const { code, stdout, stderr } = await (args[0] === 'fetch-model' ? runProcess : run)(...args);
    expect(stderr).toMatch(reason);
    expect(stderr).not.toMatch(/^ +at /m);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  });

  it('is helped by --help, which lists all commands', async () => {
    const { code, stdout } = await runProcess('--help');
    expect(code).toBe(0);
    for (const { name, description } of COMMANDS) {
      expect(stdout.replace(/\s+/g, ' ')).toContain(`${name} ${description}`);
    }
  });

  it('means one command by each word that people try, and no word is a command itself', () => {
    const words = COMMANDS.flatMap(({ name, tried }) => [name, ...tried]);
    expect(words).toEqual([...new Set(words)]);
  });

  it.each([
    ['embed', '--help'],
    ['help', 'embed'],
  ])('is helped by %s %s: exit code 0', async (...args) => {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/Turn a data set of pictures into stored embeddings.*--views.*npm run embed -- /s);
  });

  it.each(COMMANDS)('is helped by $name --help, with examples', async ({ name, load }) => {
    let help = '';
    const command = (await load())(new Command(name));
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    expect(help).toMatch(new RegExp(`(npm run|lastlayer) ${name}`));
  });
});
