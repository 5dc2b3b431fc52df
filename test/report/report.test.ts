import { readFile, rename, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium, type Browser, type Locator, type Page } from 'playwright-core';
import type { Comparison } from '../../src/classify/compare.js';
import type { UnknownRule } from '../../src/head/unknown.js';
import type { PageData } from '../../src/report/page-data.js';
import { CHROMIUM, describeWithBrowser } from '../support/browser.js';
import { lastlayer } from '../support/command-line.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const root = await temporaryFolder();
const data = join(root, 'data');
const file = join(root, 'report.html');
const lists = join(root, 'lists.html');
/** Of a head that calls many pictures unlike the training pictures. */
const picky = join(root, 'picky.html');
/** Anything but data, places in the page, and links to files beside it. */
const LOADED = /(?<!<a class="path")\s(src|href)="(?!data:|#)[^"]*"|\shref="[a-z]+:\/\/[^"]*"/g;
/** The backbone's file. */
let small: string;
const evil = '<img src=x onerror=alert(1)>"\'&';

async function run(...args: string[]) {
  return lastlayer(args, root);
}

beforeAll(async () => {
  await writeFile(join(root, 'small.onnx'), smallNetwork());
  const paths = await stripedDataset(data, {
    train: { flat: 14, steep: 14, slanted: 14 },
    val: { flat: 8, steep: 8, slanted: 8 },
  });
  // Swapped labels in validation make sure of mistakes.
  const rows = paths.map((path, i) => {
    const [split = '', label = ''] = path.split('/').slice(-3);
    const shown = split === 'val' && i % 8 === 0 ? 'flat' : label;
    return `"${path}","${(shown === 'steep' ? evil : shown).replaceAll('"', '""')}",${split}`;
  });
  await writeFile(join(root, 'data.csv'), ['path,label,split', ...rows].join('\n'));
  await writeLists(paths);
  const fetched = await run('fetch-model', '--from', 'small.onnx', '--name', 'small', '--json');
  ({ path: small } = JSON.parse(fetched.stdout) as { path: string });
  for (const args of [
    ['embed', 'data.csv', '--model', 'small.onnx'],
    ['train-head', '--learning-curve'],
    ['report'],
    ['train-head', '--unknown', '0.3', '--out', 'picky.safetensors'],
    ['report', '--head', 'picky.safetensors', '--out', 'picky.html'],
  ]) {
    const { code, stderr } = await run(...args);
    expect({ code, stderr }).toMatchObject({ code: 0 });
  }
});

beforeAll(async () => {
  for (const args of [
    ['embed', 'lists.jsonl', '--model', 'small.onnx', '--store', 'lists'],
    ['train-head', '--store', 'lists', '--out', 'lists.safetensors'],
    ['report', '--store', 'lists', '--head', 'lists.safetensors', '--out', 'lists.html'],
  ]) {
    const { code, stderr } = await run(...args);
    expect({ code, stderr }).toMatchObject({ code: 0 });
  }
});

/** The same pictures with lists of labels: slanted ones show two things, some show none. */
async function writeLists(paths: readonly string[]): Promise<void> {
  const rows = paths.map((path, i) => {
    const [split = '', label = ''] = path.split('/').slice(-3);
    const ofLabel = { flat: ['flat'], steep: [evil], slanted: ['flat', evil] }[label];
    return JSON.stringify({ path, labels: i % 9 === 0 ? [] : ofLabel, split });
  });
  await writeFile(join(root, 'lists.jsonl'), rows.join('\n'));
}

test('report tells where the file is, and --json the figures', async () => {
  const { code, stdout } = await run('report', '--json', '--out', 'again.html');
  expect(code).toBe(0);
  const { size } = await stat(join(root, 'again.html'));
  expect(JSON.parse(stdout)).toMatchObject({
    out: join(root, 'again.html'),
    bytes: size,
    count: 24,
    evaluatedOn: 'the validation split',
  });
});

test('labels are text and never markup, and nothing is loaded from elsewhere', async () => {
  const html = await readFile(file, 'utf8');
  expect(html).not.toContain('<img src=x');
  expect(html).toContain('&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;');
  expect(html.match(LOADED)).toBeNull();
});

test('without a validation split, pictures are evaluated by heads that have not seen them', async () => {
  expect((await run('embed', join(data, 'train'), '--model', 'small.onnx', '--store', 'other')).code).toBe(0);
  expect((await run('train-head', '--store', 'other', '--out', 'other.safetensors')).code).toBe(0);
  const { code, stdout } = await run('report', '--store', 'other', '--head', 'other.safetensors', '--out', 'o.html');
  expect(code).toBe(0);
  expect(stdout).toMatch(/of 42, on 5-fold cross-validation: each picture by a head that has not seen it/);
});

/** What the report tells its script of each picture. */
async function listed(report: string): Promise<PageData['pictures']> {
  const [, json = ''] =
    /<script type="application\/json" id="pictures">(.*?)<\/script>/s.exec(await readFile(report, 'utf8')) ?? [];
  return (JSON.parse(json) as PageData).pictures;
}

test('the typicality of pictures of the validation split is that of predict', async () => {
  const args = ['--head', 'picky.safetensors'];
  const { stdout } = await run('predict', join(data, 'val'), ...args, '--model', 'small.onnx', '--json');
  const { predictions } = JSON.parse(stdout) as {
    predictions: { path: string; typicality: number; unknown: boolean }[];
  };
  const found = new Map((await listed(picky)).map((picture) => [picture.path, picture]));
  expect(found.size).toBe(24);
  for (const { path, typicality, unknown } of predictions) {
    expect(found.get(path)).toMatchObject({ typicality: expect.closeTo(typicality, 3) as number, unknown });
  }
  const unlike = predictions.filter(({ unknown }) => unknown).length;
  expect(unlike).toBeGreaterThan(0);
  const [, right, wrong] =
    /as for (\d+) of \d+ right predictions and (\d+) of \d+ wrong/.exec(await readFile(picky, 'utf8')) ?? [];
  expect(Number(right) + Number(wrong)).toBe(unlike);
});

test('without a validation split, the typicality is by class means that have not seen the picture', async () => {
  const args = ['--store', 'other', '--head', 'other-picky.safetensors'];
  const trained = await run(
    'train-head',
    '--store',
    'other',
    '--unknown',
    '0.3',
    '--out',
    'other-picky.safetensors',
    '--json',
  );
  const { flaggedRight, flaggedWrong } = (JSON.parse(trained.stdout) as { crossValidation: { unknown: UnknownRule } })
    .crossValidation.unknown;
  expect((await run('report', ...args, '--out', 'other-picky.html')).code).toBe(0);
  const pictures = await listed(join(root, 'other-picky.html'));
  const shares = [true, false].map((isRight) => {
    const some = pictures.filter(({ label, predicted }) => (label === predicted) === isRight);
    return some.length === 0 ? null : some.filter(({ unknown }) => unknown).length / some.length;
  });
  expect(shares).toEqual([flaggedRight, flaggedWrong]);
});

test('a head of another network is refused', async () => {
  await writeFile(join(root, 'other.onnx'), smallNetwork(2));
  expect((await run('embed', join(data, 'val'), '--model', 'other.onnx', '--store', 'strange')).code).toBe(0);
  const { code, stderr } = await run('report', '--store', 'strange');
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: expect.stringMatching(
      /was embedded by network@\w+, not by network@\w+\. Embed it with that model/,
    ) as string,
  });
});

test('--compare adds a section with the verdict and the pictures that changed', async () => {
  expect((await run('train-head', '--l2', '1000', '--out', 'stiff.safetensors')).code).toBe(0);
  const { code, stdout } = await run('report', '--compare', 'stiff.safetensors', '--out', 'compared.html', '--json');
  expect(code).toBe(0);
  const { comparison } = JSON.parse(stdout) as { comparison: Comparison };
  expect(comparison).toMatchObject({ count: 24, a: { name: 'stiff.safetensors' }, b: { name: 'head.safetensors' } });
  const html = await readFile(join(root, 'compared.html'), 'utf8');
  const [, section = ''] = /<section id="comparison">(.*?)<\/section>/s.exec(html) ?? [];
  expect(section).toMatch(/<strong>[^<]*McNemar/);
  expect(comparison.changed.length).toBeGreaterThan(0);
  expect(section.match(/<img src="data:/g)).toHaveLength(comparison.changed.length);
  expect(section).not.toContain('<img src=x');
});

describe('where the classes were seen', () => {
  it('is in the report for mistakes and the least certain pictures, unless it is not wanted', async () => {
    const html = await readFile(file, 'utf8');
    const [, losses = ''] = /<section id="top-losses">(.*?)<\/section>/s.exec(html) ?? [];
    const maps = [...losses.matchAll(/data-heat="([^"]*)"/g)].map(
      ([, text = '']) => JSON.parse(text.replaceAll('&quot;', '"')) as { label: string; rows: number; bytes: string }[],
    );
    expect(maps.length).toBeGreaterThan(0);
    expect(maps).toHaveLength(losses.match(/<img /g)?.length ?? NaN);
    for (const ofPicture of maps) {
      // What was predicted, and what is true.
      expect(new Set(ofPicture.map(({ label }) => label)).size).toBe(2);
      for (const { rows, bytes } of ofPicture) {
        expect(rows).toBe(55);
        expect(Buffer.from(bytes, 'base64')).toHaveLength(55 ** 2);
      }
    }
    expect((await run('report', '--no-explain', '--out', 'without.html')).code).toBe(0);
    expect(await readFile(join(root, 'without.html'), 'utf8')).not.toContain('data-heat="');
  });

  it('is missing with the reason where the backbone is not there', async () => {
    await rename(small, `${small}.away`);
    const { code, stderr } = await run('report', '--out', 'away.html');
    await rename(`${small}.away`, small);
    expect(code).toBe(0);
    expect(stderr).toMatch(/The report does not show where the classes were seen\. /);
    expect(await readFile(join(root, 'away.html'), 'utf8')).toContain('Where the classes were seen is not shown.');
  });
});

describe('on a head of any number of labels', () => {
  it('gives mAP, figures and mistakes of each label, and a map', async () => {
    const { code, stdout } = await run(
      ...['report', '--store', 'lists', '--head', 'lists.safetensors', '--out', lists, '--json'],
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      ...{ out: lists, count: 24, evaluatedOn: 'the validation split' },
      meanAveragePrecision: expect.any(Number) as number,
    });
    const html = await readFile(lists, 'utf8');
    expect(html).not.toContain('<img src=x');
    expect(html.match(LOADED)).toBeNull();
    expect(html).toMatch(/<th scope="row">flat<\/th>\s*<td>[\d.]+\u00a0%<\/td>\s*<td>0\.\d{3}<\/td>/);
    expect(html).toMatch(/<h3>[^<]+: \d+ mistakes?<\/h3>/);
    expect(html.match(/data-point="/g)).toHaveLength(48);
  });

  it('which is refused for pictures of one class each', async () => {
    const { code, stderr } = await run('report', '--head', 'lists.safetensors');
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/predicts any number of labels per picture, and .* have one label each/) as string,
    });
  });
});

describeWithBrowser('in a browser', () => {
  const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
  let browser: Browser;
  const complaints: string[] = [];

  beforeAll(async () => {
    browser = await chromium.launch({
      ...(CHROMIUM !== undefined && { executablePath: CHROMIUM }),
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic'],
    });
  });
  afterAll(() => browser.close());
  beforeEach(() => {
    complaints.length = 0;
  });

  async function open(options: Parameters<Browser['newPage']>[0] = {}, report = file): Promise<Page> {
    const page = await browser.newPage({ bypassCSP: true, ...options });
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => {
      if (!/^(file|data):/.test(request.url())) complaints.push(request.url());
    });
    await page.goto(pathToFileURL(report).href);
    return page;
  }

  async function boxOf(locator: Locator) {
    return (await locator.boundingBox()) ?? { x: NaN, y: NaN, width: NaN, height: NaN };
  }

  it('every figure is drawn, under the policy of the page itself', async () => {
    const page = await open({ bypassCSP: false });
    const drawn: number[] = [];
    for (const id of ['reliability', 'learning-curve', 'l2-path', 'map-umap']) {
      const box = await page.locator(`#${id} svg`).boundingBox();
      expect(box?.height).toBeGreaterThan(100);
      drawn.push(await page.locator(`#${id} svg :is(path, rect, circle)`).count());
    }
    expect(Math.min(...drawn)).toBeGreaterThanOrEqual(5);
    expect(await page.locator('#map-umap [data-point]').count()).toBe(24);
    expect(await page.locator('.gallery img').evaluateAll((all) => all.length)).toBeGreaterThan(24);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it.each(['mouse', 'keyboard'])('a cell opens the pictures behind it, by %s', async (way) => {
    const page = await open({ bypassCSP: false });
    const cell = page.locator('button[data-cell].wrong').first();
    const count = Number(await cell.textContent());
    if (way === 'mouse') await cell.click();
    else {
      await cell.focus();
      await page.keyboard.press('Enter');
    }
    const dialog = page.locator('#cell');
    expect(await dialog.isVisible()).toBe(true);
    expect(await dialog.locator('img').count()).toBe(count);
    expect(await dialog.locator('h2').textContent()).toMatch(/: predicted as /);
    await page.keyboard.press('Escape');
    expect(await dialog.isVisible()).toBe(false);
    expect(await page.locator('button[data-cell].wrong:focus').count()).toBe(1);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it('a point of the map shows its picture, by mouse and by arrow keys', async () => {
    const page = await open({ bypassCSP: false });
    const shown = () => page.locator('#preview .path').textContent();
    await page.locator('#map-umap [data-point]').first().hover({ force: true });
    const first = await shown();
    expect(await page.locator('#preview img').count()).toBe(1);
    await page.mouse.move(0, 0);
    await page.locator('.map').first().focus();
    const seen = new Set([first]);
    for (const key of ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown']) {
      await page.keyboard.press(key);
      seen.add(await shown());
    }
    expect(seen.size).toBeGreaterThan(1);
    await page.close();
  });

  it('a switch shows where the classes were seen, also enlarged, under the policy of the page itself', async () => {
    const page = await open({ bypassCSP: false });
    await page.locator('#least-certain .show-heat').check();
    expect(await page.locator('#top-losses .show-heat').isChecked()).toBe(true);
    expect(await page.locator('#top-losses .colours').isVisible()).toBe(true);
    const first = page.locator('#top-losses li').first();
    const canvas = first.locator('canvas[aria-label]');
    await canvas.waitFor();
    expect(await first.locator('img').isVisible()).toBe(false);
    const pixels = () => canvas.evaluate((found) => (found as unknown as { toDataURL(): string }).toDataURL());
    const before = await pixels();
    await first.locator('.classes button[aria-pressed=false]').click();
    expect(await pixels()).not.toBe(before);
    await first.locator('.enlarge').click();
    expect(await page.locator('#enlarged img').getAttribute('src')).toBe(await pixels());
    await page.keyboard.press('Escape');
    await page.locator('#top-losses .show-heat').uncheck();
    expect(await first.locator('img').isVisible()).toBe(true);
    expect(await canvas.isVisible()).toBe(false);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it('the slider tells how many pictures a threshold leaves to a person', async () => {
    const page = await open({ bypassCSP: false });
    const certainties = (
      JSON.parse(await page.locator('#pictures').evaluate('document.querySelector("#pictures").text')) as {
        pictures: { p: number; label: number; predicted: number }[];
      }
    ).pictures;
    expect(certainties).toHaveLength(24);
    const line = page.locator('[data-threshold]');
    const before = await line.boundingBox();
    await page.locator('#threshold').fill('140');
    const left = certainties.filter(({ p }) => p < 0.7).length;
    const good = certainties.filter(({ p, label, predicted }) => p >= 0.7 && label === predicted).length;
    const shown = (await page.locator('#threshold-text').textContent())?.replaceAll('\u00a0', ' ');
    expect(shown).toContain(`leaves ${left} of 24 pictures (${((100 * left) / 24).toFixed(1)} %) to a person`);
    expect(shown).toContain(`and ${((100 * good) / (24 - left)).toFixed(1)} % of them right`);
    expect((await line.boundingBox())?.x).not.toBe(before?.x);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it('a table is sorted by a click on a heading, and the other way round by another', async () => {
    const page = await open({ bypassCSP: false });
    const heading = page.locator('#labels thead th', { hasText: 'recall' });
    const recalls = async () =>
      (await page.locator('#labels tbody tr td:nth-child(3)').allTextContents()).map(parseFloat);
    const before = await recalls();
    expect(new Set(before).size).toBeGreaterThan(1);
    await heading.locator('button').click();
    expect(await heading.getAttribute('aria-sort')).toBe('descending');
    expect(await recalls()).toEqual(before.toSorted((a, b) => b - a));
    await heading.locator('button').press('Enter');
    expect(await heading.getAttribute('aria-sort')).toBe('ascending');
    expect(await recalls()).toEqual(before.toSorted((a, b) => a - b));
    await page.locator('#labels thead button').first().click();
    expect(await page.locator('#labels [aria-sort]').count()).toBe(1);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it.each([1440, 390])('the navigation stays in view and tells the section, %i pixels wide', async (width) => {
    const page = await open({ bypassCSP: false, viewport: { width, height: 800 } });
    await page.locator('nav a', { hasText: 'Curves' }).click();
    const current = page.locator('nav a[aria-current]');
    await current.filter({ hasText: 'Curves' }).waitFor();
    const [link, heading] = await Promise.all([boxOf(current), boxOf(page.locator('#curves h2'))]);
    expect(link.y).toBeGreaterThanOrEqual(0);
    expect(link.y).toBeLessThan(800);
    // It covers no heading: it is beside or above.
    const isBeside = link.x + link.width <= heading.x;
    expect(isBeside || link.y + link.height <= heading.y).toBe(true);
    expect(isBeside).toBe(width === 1440);
    await page.close();
  });

  it('a hint tells where a table scrolls, and only there', async () => {
    const page = await open({ bypassCSP: false, viewport: { width: 390, height: 800 } });
    const boxes = await page
      .locator('section:not(#curves):not(#certainty) .scroll')
      .evaluateAll((all) =>
        (
          all as unknown as { scrollWidth: number; clientWidth: number; previousElementSibling: { hidden: boolean } }[]
        ).map(({ scrollWidth, clientWidth, previousElementSibling }) => [
          scrollWidth > clientWidth,
          !previousElementSibling.hidden,
        ]),
      );
    expect(boxes.map(([scrolls]) => scrolls)).toContain(true);
    for (const [scrolls, hints] of boxes) expect(hints).toBe(scrolls);
    await page.close();
  });

  it('galleries are filtered by class and by words', async () => {
    const page = await open({ bypassCSP: false });
    const shown = () => page.locator('main .gallery > li:visible').count();
    const all = await shown();
    await page.locator('#filter-class').selectOption(evil);
    const ofClass = await shown();
    const names = await page
      .locator('main .gallery > li:visible')
      .evaluateAll((cards) => cards.map((card) => (card as unknown as { dataset: { labels: string } }).dataset.labels));
    for (const labels of names) expect(JSON.parse(labels)).toContain(evil);
    expect(ofClass).toBeGreaterThan(0);
    expect(ofClass).toBeLessThan(all);
    await page.locator('#filter-class').selectOption({ index: 0 });
    await page.locator('#filter-text').fill('VAL/steep/6');
    const texts = await page.locator('main .gallery > li:visible').allTextContents();
    expect(texts.length).toBeGreaterThan(0);
    for (const text of texts) expect(text).toContain('val/steep/6.png');
    expect(await page.locator('#filter-status').textContent()).toBe(
      `${texts.length} of ${all} pictures in the galleries`,
    );
    expect(complaints).toEqual([]);
    await page.close();
  });

  it('galleries are filtered by what is unlike the training pictures, which is marked', async () => {
    const page = await open({ bypassCSP: false }, picky);
    await page.locator('#filter-unlike').check();
    const texts = await page.locator('main .gallery > li:visible').allTextContents();
    expect(texts.length).toBeGreaterThan(0);
    for (const text of texts) expect(text).toMatch(/unlike the training pictures \(typicality 0\.[0-2]\d\d\)/);
    await page.locator('#filter-unlike').uncheck();
    expect(
      await page.locator('#least-typical li', { hasText: /^(?!.*unlike).*typicality 0\.[3-9]/s }).count(),
    ).toBeGreaterThan(0);
    expect(await (await open({}, lists)).locator('#filter-unlike, #least-typical').count()).toBe(0);
    expect(complaints).toEqual([]);
    await page.close();
  });

  it('a picture is enlarged by the keyboard, with its path and a link to its file; Escape gives the focus back', async () => {
    const page = await open({ bypassCSP: false });
    const picture = page.locator('#top-losses .enlarge').first();
    const path = (await picture.getAttribute('data-path')) ?? '';
    for (const key of ['Enter', ' ']) {
      await picture.focus();
      await page.keyboard.press(key);
      const dialog = page.locator('#enlarged');
      expect(await dialog.isVisible()).toBe(true);
      expect(await dialog.locator('code').textContent()).toBe(path);
      const href = await dialog.locator('.place a').evaluate((link) => (link as unknown as { href: string }).href);
      expect(href).toBe(pathToFileURL(path).href);
      await page.keyboard.press('Escape');
      expect(await dialog.isVisible()).toBe(false);
      expect(await picture.evaluate('document.activeElement.dataset.path')).toBe(path);
    }
    expect(complaints).toEqual([]);
    await page.close();
  });

  it.each([
    ['light', 1200, file],
    ['dark', 1200, file],
    ['light', 390, file],
    ['dark', 390, lists],
  ] as const)(
    'breaks no rule of accessibility, and nothing sticks out: %s, %i pixels wide, %s',
    async (colorScheme, width, report) => {
      const page = await open({ colorScheme, viewport: { width, height: 900 } }, report);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
      await page.evaluate('document.querySelectorAll("details").forEach((one) => { one.open = true; })');
      await page.addScriptTag({ path: axe });
      const violations: unknown = await page.evaluate(
        'axe.run().then(({ violations }) => violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html.slice(0, 150)).join(" | ")}`))',
      );
      expect(violations).toEqual([]);
      await page.close();
    },
  );
});
