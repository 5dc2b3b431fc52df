import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import type { Explanation } from '../../src/classify/explain.js';
import { lastlayer, lastlayerProcess } from '../support/command-line.js';
import { temporaryFolder } from '../support/files.js';
import { makeWorld } from '../support/server.js';

const folder = await temporaryFolder();
let head: string;
let model: string;

interface Answer {
  path: string;
  explained: string;
  explanations: Explanation[];
  predictions: { label: string; probability: number }[];
}

beforeAll(async () => {
  const world = await makeWorld(folder);
  ({ head, model } = world);
  for (const [i, name] of ['one.png', 'two.jpg', 'deep/one.png'].entries()) {
    await mkdir(join(folder, 'album', 'deep'), { recursive: true });
    await cp(world.pictures[12 * i] ?? '', join(folder, 'album', name));
  }
});

const run = (...args: string[]) => lastlayer(['predict', ...args, '--head', head, '--model', model], folder);

test('--explain draws a picture beside maps of the two leading classes, and replaces the file', async () => {
  await writeFile(join(folder, 'why.png'), 'of before');
  const { code, stdout, stderr } = await run('album/one.png', '--explain', 'why.png');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^album\/one\.png: typicality .*\n {2}\w+ +[\d.]+ %\n/);
  expect(stderr).toMatch(/^explained in why\.png \(--explain-scale [\d.]+\)$/m);
  const { width, height, format } = await sharp(join(folder, 'why.png')).metadata();
  expect(format).toBe('png');
  // Three squares in a row.
  expect(width / height).toBeGreaterThan(2);
  const again = await readFile(join(folder, 'why.png'));
  await run('album/one.png', '--explain', 'why.png');
  expect((await readFile(join(folder, 'why.png'))).equals(again)).toBe(true);
});

test('--json has shares whose mean is the logit, and says where the pictures are', async () => {
  const { stdout } = await run('album', '--explain', 'json', '--json');
  const { predictions: answers } = JSON.parse(stdout) as { predictions: Answer[] };
  expect(answers).toHaveLength(3);
  for (const { explanations, predictions, explained } of answers) {
    expect((await stat(join(folder, explained))).size).toBeGreaterThan(10_000);
    expect(explanations.map(({ label }) => label)).toEqual(predictions.slice(0, 2).map(({ label }) => label));
    for (const { shares, logit, region, probability } of explanations) {
      const all = shares.flat();
      expect(all.reduce((sum, share) => sum + share / all.length, 0)).toBeCloseTo(logit, 4);
      expect(region).toEqual({ left: 12, top: 4, width: 56, height: 56 });
      expect(predictions.map((each) => each.probability)).toContainEqual(probability);
    }
  }
  const plain = await run('album', '--json');
  expect(plain.stdout).not.toContain('explan');
});

test('a folder gets a file for each picture, overwrites none, and may lie among the pictures', async () => {
  const why = join(folder, 'album', 'why');
  await mkdir(why);
  await writeFile(join(why, 'two.png'), 'of the user');
  const first = await run('album', '--explain', 'album/why');
  expect(first.code).toBe(0);
  expect(first.stdout).toMatch(/^pictures: 3,/);
  expect(first.stdout).toMatch(/^explained in album\/why: 3 \(--explain-scale [\d.]+\)$/m);
  const names = ['one (2).png', 'one.png', 'two (2).png', 'two.png'];
  expect((await readdir(why)).sort()).toEqual(names);
  expect(await readFile(join(why, 'two.png'), 'utf8')).toBe('of the user');
  const second = await run('album', '--explain', 'album/why');
  expect(second.stdout).toMatch(/^explained in album\/why: 0, and there already: 3 /m);
  expect((await readdir(why)).sort()).toEqual(names);
});

test('--explain-scale makes the colours of two runs mean the same', async () => {
  const [one, other] = ['album/one.png', 'album/deep/one.png'];
  await run(one, other, '--explain', 'together', '--explain-scale', '3');
  await run(other, '--explain', 'apart', '--explain-scale', '3');
  const [together, apart] = [join(folder, 'together', 'one (2).png'), join(folder, 'apart', 'one.png')];
  expect((await readFile(together)).equals(await readFile(apart))).toBe(true);
  await run(other, '--explain', 'apart', '--explain-scale', '30');
  expect(existsSync(join(folder, 'apart', 'one (2).png'))).toBe(true);
});

test.each([
  [
    ['album/one.png', 'album/two.jpg', '--explain', 'all.png'],
    /--explain all\.png is one file, and there are 2 pictures/,
  ],
  [['album', '--explain', 'all.jpg'], /--explain writes PNG, and all\.jpg ends in \.jpg/],
  [['album', '--explain-scale', '3'], /--explain-scale needs --explain/],
  [['album', '--explain', 'all', '--views', 'crops'], /cannot be shown with the views crops/],
  [['album', '--watch', '--explain', 'all'], /--watch with --explain needs --explain-scale/],
  [['album', '--watch', '--explain', 'a.png', '--explain-scale', '3'], /--watch needs a folder for --explain/],
  [['album', '--pretrained-classes', '--explain', 'all'], /--explain needs a head/],
])('%j is refused', async (args, message) => {
  expect(await run(...args)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(message) as string });
  expect(existsSync(join(folder, 'all'))).toBe(false);
});

test('labels are drawn where there are no fonts, too', async () => {
  await mkdir(join(folder, 'fonts'));
  const config = join(folder, 'fonts.conf');
  await writeFile(config, `<?xml version="1.0"?><fontconfig><dir>${join(folder, 'fonts')}</dir></fontconfig>`);
  for (const name of ['mmm.png', 'www.png']) await cp(join(folder, 'album', 'one.png'), join(folder, 'same', name));
  const { outcome } = lastlayerProcess(
    ['predict', 'same', '--explain', 'drawn', '--head', head, '--model', model],
    folder,
    { FONTCONFIG_FILE: config },
  );
  expect(await outcome).toMatchObject({ code: 0 });
  const heading = (name: string) =>
    sharp(join(folder, 'drawn', name))
      .extract({ left: 0, top: 0, width: 472, height: 44 })
      .greyscale()
      .raw()
      .toBuffer();
  const [one, other] = [await heading('mmm.png'), await heading('www.png')];
  // Without a font, the renderer draws the same boxes for all letters.
  expect(one.equals(other)).toBe(false);
  expect(Math.min(...one)).toBeLessThan(60);
});
