import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { appendFile, cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import sharp from 'sharp';
import { Classifier } from '../../src/classify/classifier.js';
import { loadHead, saveHead } from '../../src/head/file.js';
import { lastlayer, lastlayerProcess } from '../support/command-line.js';
import { ROOT, temporaryFolder } from '../support/files.js';

const EXAMPLES = join(ROOT, 'test', 'fixtures', 'examples');
const folder = await temporaryFolder();
const run = (...args: string[]) => lastlayer(['predict', ...args], folder);

interface Answer {
  path: string;
  error?: string;
  unknown?: boolean;
  typicality?: number;
  predictions: { label: string; probability: number }[];
}

const NOTHING: Answer = { path: '', predictions: [] };

const bestOf = ([best]: Answer['predictions']) => best?.label ?? '';

/** All files under a folder, by their path in it. */
async function filesUnder(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}

const answersIn = (lines: string) =>
  lines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Answer);

/** What every test classifies: pictures in folders, one of something else, one that is broken, and a file that is none. */
const album = join(folder, 'album');
const pictures = Array.from({ length: 10 }, (_, i) => `${String(i + 1).padStart(2, '0')}.jpg`);

beforeAll(async () => {
  const options = ['--store', 'examples'];
  expect(await lastlayer(['embed', EXAMPLES, ...options], folder)).toMatchObject({ code: 0 });
  expect(await lastlayer(['train-head', ...options], folder)).toMatchObject({ code: 0 });
  for (const kind of ['fish', 'flower']) {
    for (const name of pictures) {
      await cp(join(EXAMPLES, 'val', kind, `${kind}-${name}`), join(album, '2024', kind, name));
    }
  }
  await cp(join(EXAMPLES, 'val', 'mushroom', 'mushroom-01.jpg'), join(album, 'a mushroom.jpg'));
  const noise = { type: 'gaussian', mean: 128, sigma: 80 } as const;
  await sharp({ create: { width: 90, height: 90, channels: 3, background: 'white', noise } })
    .png()
    .toFile(join(album, 'noise.png'));
  await writeFile(join(album, '2024', 'broken.jpg'), 'no picture');
  await writeFile(join(album, 'notes.txt'), 'none');
});

const COUNT = 23;

describe('predict of a folder', () => {
  let answers: Answer[] = [];

  it('gives its pictures sorted, with what each gives on its own', async () => {
    const { code, stdout, stderr } = await run('album', '--json');
    expect(code).toBe(3);
    expect(stderr).toMatch(/Files skipped, .*: 1, such as .*notes\.txt\n/);
    ({ predictions: answers } = JSON.parse(stdout) as { predictions: Answer[] });
    const paths = answers.map(({ path }) => path);
    const expected = (await filesUnder(album)).filter((path) => path !== 'notes.txt').map((path) => join(album, path));
    expect(paths).toEqual(expected.sort());
    expect(paths).toHaveLength(COUNT);
    const classifier = await Classifier.load(join(folder, 'head.safetensors'));
    for (const { path, error, unknown, predictions } of answers) {
      if (basename(path) === 'broken.jpg') {
        expect(error).toMatch(/broken\.jpg is no readable picture/);
        continue;
      }
      const alone = await classifier.classify(path, { topK: 3 });
      expect(unknown).toBe(alone.unknown);
      expect(predictions.map(({ label }) => label)).toEqual(alone.predictions.map(({ label }) => label));
      predictions.forEach(({ probability }, i) => {
        expect(probability).toBeCloseTo(alone.predictions[i]?.probability ?? NaN, 4);
      });
    }
  });

  it('ends with how many there are of each class', async () => {
    const { code, stdout, stderr } = await run('album');
    expect(code).toBe(3);
    expect(stderr).toMatch(/Error: .*broken\.jpg is no readable picture/);
    const counts = new Map<string, number>();
    for (const { error, unknown, predictions } of answers) {
      const name = error !== undefined ? 'unreadable' : unknown ? 'unknown' : bestOf(predictions);
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    expect(counts.get('unknown')).toBeGreaterThan(0);
    const [, summary = ''] = stdout.split(/^pictures: 23, in [\d.]+ s \([\d.]+ per second\)\n/m);
    const told = [...summary.matchAll(/^ {2}(\w+) +(\d+)$/gm)].map(([, name, n]) => [name, Number(n)]);
    expect(new Map(told as [string, number][])).toEqual(counts);
  });

  it('prints a line of JSON for each with --jsonl, and the summary apart', async () => {
    const { code, stdout, stderr } = await run('album', '--jsonl');
    expect(code).toBe(3);
    expect(answersIn(stdout)).toEqual(answers);
    expect(stderr).toMatch(/^pictures: 23,/m);
  });

  it('writes a row for each with --csv, as a manifest that embed takes', async () => {
    const { code, stdout } = await run('album', '--csv', 'album.csv');
    expect(code).toBe(3);
    expect(stdout).toMatch(/^pictures: 23,/);
    expect(stdout).toMatch(/^written to album\.csv$/m);
    const [header, ...rows] = readFileSync(join(folder, 'album.csv'), 'utf8').trimEnd().split('\n');
    expect(header).toBe('path,label,probability,typicality,unknown,error');
    expect(rows).toHaveLength(COUNT);
    rows.forEach((row, i) => {
      const { path, error, typicality, unknown, predictions } = answers[i] ?? NOTHING;
      if (error !== undefined) expect(row).toMatch(/broken\.jpg,,,,,.*no readable picture/);
      else expect(row).toBe(`${path},${bestOf(predictions)},${predictions[0]?.probability},${typicality},${unknown},`);
    });
    const embedded = await lastlayer(['embed', 'album.csv', '--store', 'album-store', '--json'], folder);
    expect(JSON.parse(embedded.stdout)).toMatchObject({ total: COUNT, failed: 1 });
  });

  it('takes patterns in quotes, and every picture once', async () => {
    const one = join('album', '2024', 'fish', '01.jpg');
    const { stdout } = await run(one, 'album/2024/f*/0[12].jpg', one, '--jsonl');
    const at = (path: string) => join(album, '2024', path);
    expect(answersIn(stdout).map(({ path }) => path)).toEqual([
      one,
      at('fish/02.jpg'),
      at('flower/01.jpg'),
      at('flower/02.jpg'),
    ]);
  });

  it('says what it looked for where there are no pictures', async () => {
    await mkdir(join(folder, 'empty'), { recursive: true });
    await writeFile(join(folder, 'empty', 'notes.txt'), 'none');
    const inEmpty = await run('empty');
    expect(inEmpty).toMatchObject({ code: 1, stdout: '' });
    expect(inEmpty.stderr).toMatch(
      /There are no pictures in .*empty\. Files ending in \.jpg, .*\.heic.* were looked for, at any depth\. Files of other kinds: 1, such as .*notes\.txt\./,
    );
    const byPattern = await run('album/*.tiff');
    expect(byPattern).toMatchObject({ code: 1, stdout: '' });
    expect(byPattern.stderr).toContain('There are no pictures that album/*.tiff matches.');
  });
});

describe('predict --copy-to and --link-to', () => {
  let answers: Answer[] = [];
  const folderOf = ({ unknown, predictions }: Answer) => (unknown ? 'unknown' : bestOf(predictions));

  beforeAll(async () => {
    answers = answersIn((await run('album', '--jsonl')).stdout).filter(({ error }) => error === undefined);
  });

  it('put copies into a folder a class, overwrite nothing, and may be run again', async () => {
    const sorted = join(folder, 'sorted');
    await mkdir(join(sorted, 'fish'), { recursive: true });
    await writeFile(join(sorted, 'fish', '01.jpg'), 'of the user');
    const first = await run('album', '--copy-to', 'sorted');
    expect(first.code).toBe(3);
    expect(first.stdout).toMatch(/^copied to sorted: 22$/m);
    expect(readFileSync(join(sorted, 'fish', '01.jpg'), 'utf8')).toBe('of the user');
    const contents = async () =>
      (await filesUnder(sorted)).map((path) => `${path.split('/')[0]} ${readFileSync(join(sorted, path), 'latin1')}`);
    const expected = answers.map((answer) => `${folderOf(answer)} ${readFileSync(answer.path, 'latin1')}`);
    expect((await contents()).sort()).toEqual([...expected, 'fish of the user'].sort());
    expect(existsSync(join(sorted, 'fish', '01 (2).jpg'))).toBe(true);
    expect(readdirSync(join(sorted, 'unknown'))).toContain('noise.png');

    const names = await filesUnder(sorted);
    const second = await run('album', '--copy-to', 'sorted');
    expect(second.stdout).toMatch(/^copied to sorted: 0, and there already: 22$/m);
    expect(await filesUnder(sorted)).toEqual(names);
  });

  it('put links, and do not look into the folder that they are put in', async () => {
    const place = join(album, 'links');
    const first = await run('album', '--link-to', 'album/links');
    expect(first.stdout).toMatch(/^linked to album\/links: 22$/m);
    const links = (await filesUnder(place)).map((path) => [path.split('/')[0], readlinkSync(join(place, path))]);
    expect(new Map(links.map(([label, target]) => [target, label]))).toEqual(
      new Map(answers.map((answer) => [answer.path, folderOf(answer)])),
    );
    const second = await run('album', '--link-to', 'album/links');
    expect(second.stdout).toMatch(/^pictures: 23,/m);
    expect(second.stdout).toMatch(/^linked to album\/links: 0, and there already: 22$/m);
    expect(second.stderr).toMatch(/album\/links was left out/);
    await rm(place, { recursive: true });
    const itself = await run('album', '--copy-to', 'album');
    expect(itself).toMatchObject({ code: 2, stdout: '' });
  });

  it('give every label a folder of its own, with a name that is safe', async () => {
    const head = await loadHead(join(folder, 'head.safetensors'));
    await saveHead(
      join(folder, 'odd.safetensors'),
      head.with({ labels: ['../out', 'Fish/River', 'fish_river', 'unknown'] }),
    );
    const flags = ['album/2024', '--head', 'odd.safetensors'];
    const { stderr } = await run(...flags, '--copy-to', 'odd');
    expect(stderr).toContain('"Fish/River" in Fish_River, "fish_river" in fish_river (2), …');
    const { stdout } = await run(...flags, '--jsonl');
    const names: Record<string, string> = {
      'Fish/River': 'Fish_River',
      fish_river: 'fish_river (2)',
      unknown: 'unknown (2)',
    };
    const expected = answersIn(stdout)
      .filter(({ error }) => error === undefined)
      .map(({ unknown, predictions: [best] }) => (unknown ? 'unknown' : (names[best?.label ?? ''] ?? '___out')));
    const found = (await filesUnder(join(folder, 'odd'))).map((path) => path.slice(0, path.indexOf('/')));
    expect(found.sort()).toEqual(expected.sort());
    expect(new Set(found).size).toBeGreaterThan(2);
  });
});

/** Waits until a text says something. */
async function until(text: () => string, pattern: RegExp): Promise<void> {
  while (!pattern.test(text())) await delay(50);
}

/** Starts predict as a user does. */
function start(...args: string[]) {
  const { process: child, outcome } = lastlayerProcess(['predict', ...args], folder);
  const output = { stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
  return { child, outcome, output };
}

describe('predict --watch', () => {
  it('classifies what comes once it is complete, tries again what was broken, and ends with Ctrl-C', async () => {
    const inbox = join(folder, 'inbox');
    await mkdir(inbox);
    await cp(join(album, 'a mushroom.jpg'), join(inbox, 'first.jpg'));
    const { child, outcome, output } = start('inbox', '--watch', '--jsonl', '--copy-to', 'inbox/done');
    await until(() => output.stdout, /first\.jpg/);

    // Written bit by bit, slower than the folder is looked at, but without a pause of a second.
    const bytes = await readFile(join(album, '2024', 'fish', '01.jpg'));
    await mkdir(join(inbox, 'new'));
    const slow = join(inbox, 'new', 'slow.jpg');
    await writeFile(slow, '');
    for (let i = 0; i < 8; i++) {
      await appendFile(slow, bytes.subarray((i * bytes.length) / 8, ((i + 1) * bytes.length) / 8));
      await delay(400);
    }
    await until(() => output.stdout, /slow\.jpg/);
    await writeFile(join(inbox, 'broken.jpg'), 'not yet');
    await until(() => output.stdout, /broken\.jpg/);
    await cp(join(album, '2024', 'flower', '01.jpg'), join(inbox, 'broken.jpg'));
    await until(() => output.stdout, /broken\.jpg[^]*broken\.jpg/);
    await writeFile(join(inbox, 'empty.jpg'), '');
    await delay(2500);
    child.kill('SIGINT');
    const { code, stdout, stderr } = await outcome;
    const answers = answersIn(stdout).map(({ path, error }) => [path.slice(inbox.length + 1), error === undefined]);
    expect(answers.slice(0, 2)).toEqual([
      ['first.jpg', true],
      ['new/slow.jpg', true],
    ]);
    expect(answers.slice(2)).toEqual([
      ['broken.jpg', false],
      ['broken.jpg', true],
    ]);
    expect(stderr).toMatch(/^Not complete yet: .*empty\.jpg$/m);
    expect(code).toBe(3);
    expect((await filesUnder(join(inbox, 'done'))).map((path) => basename(path)).sort()).toEqual([
      'broken.jpg',
      'first.jpg',
      'slow.jpg',
    ]);
  });

  it('takes folders only', async () => {
    expect(await run('album/noise.png', '--watch')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--watch takes folders; album/noise.png is not a folder.') as string,
    });
  });
});

/** An SVG that takes longer to draw than any picture may. */
function endlessSvg(): string {
  const noise = '<feTurbulence baseFrequency="0.1" numOctaves="8"/>'.repeat(9000);
  const filter = `<filter id="f" x="0" y="0" width="1" height="1">${noise}</filter>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="3000" height="3000">${filter}<rect width="3000" height="3000" filter="url(#f)"/></svg>`;
}

it('predict that is interrupted keeps what it has written, and waits for no picture', async () => {
  const stuck = join(folder, 'stuck');
  await cp(join(album, '2024', 'fish'), stuck, { recursive: true });
  await writeFile(join(stuck, 'zz.svg'), endlessSvg());
  const table = join(folder, 'stuck.csv');
  const rows = () => (existsSync(table) ? readFileSync(table, 'utf8') : '');
  const { child, outcome, output } = start('stuck', '--csv', 'stuck.csv', '--jsonl');
  await until(rows, /10\.jpg.*\n/);
  await until(() => output.stdout, /10\.jpg.*\n/);
  child.kill('SIGINT');
  const { code, stdout, stderr } = await outcome;
  expect(code).toBe(130);
  expect(stderr).toContain('Pictures classified: 10 of 11.');
  expect(answersIn(stdout).map(({ path }) => basename(path))).toEqual(pictures);
  expect(rows().trimEnd().split('\n')).toHaveLength(11);
});
