import { once } from 'node:events';
import { cp, mkdir, readFile } from 'node:fs/promises';
import { createServer, request, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { createRequire } from 'node:module';
import { chromium, type Browser, type Page } from 'playwright-core';
import { parse } from 'csv-parse/sync';
import { trainFromStore } from '../../src/classify/train.js';
import { embedDataset } from '../../src/embed/embed.js';
import { saveHead } from '../../src/head/file.js';
import { CHROMIUM, describeWithBrowser } from '../support/browser.js';
import { temporaryFolder } from '../support/files.js';
import { hardlyTypical } from '../support/hardly-typical.js';
import { closeServer, makeWorld, serve } from '../support/server.js';

const folder = await temporaryFolder();
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** Another server beside the one that is tested. */
async function listen(answer: RequestListener): Promise<{ url: string; close: () => Server }> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = () => {
    server.closeAllConnections();
    return server.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

describeWithBrowser('the page', () => {
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];
  let world: Awaited<ReturnType<typeof makeWorld>>;

  beforeAll(async () => {
    world = await makeWorld(folder, 4);
    browser = await chromium.launch({
      executablePath: CHROMIUM ?? '',
      args: ['--no-sandbox', '--use-fake-device-for-media-stream'],
    });
  });
  beforeEach(async () => {
    page = await browser.newPage();
    complaints.length = 0;
    // Such as what the page's policy of content blocks.
    page.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(error.message));
  });
  afterEach(() => page.close());
  afterAll(async () => {
    await browser.close();
    await closeServer();
  });

  test('shows bars and similar pictures for each picture that is chosen, in light and dark', async () => {
    const { url } = await serve(world);
    await page.goto(url);
    await page.setInputFiles('#files', [world.pictures[0] ?? '', world.pictures.at(-1) ?? '']);
    await page.locator('.similar img[src]').nth(11).waitFor();
    const [best] = await world.classifier.predict(world.pictures[0] ?? '');
    expect(await page.textContent('.verdict')).toBe(best?.label);
    expect(await page.textContent('#status')).toBe('2 of 2 pictures');
    const path = (world.pictures[0] ?? '').split('/').slice(-3).join('/');
    expect(await page.locator('.similar').first().textContent()).toContain(`cosine 1.000${path}`);
    expect(await page.textContent('#worth')).toMatch(
      /^Right for .*of 12 pictures.*Always answering “.*” would be right for 33\.3/,
    );
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await page.evaluate(await readFile(axe, 'utf8'));
      const violations = await page.evaluate(
        `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]))`,
      );
      expect(violations).toEqual([]);
    }
    expect(complaints).toEqual([]);
  });

  test('shows where the classes were seen, by keyboard too, and sends again what it does not know', async () => {
    const { url } = await serve(world);
    await page.goto(url);
    await page.setInputFiles('#files', [world.pictures[0] ?? '', world.pictures.at(-1) ?? '']);
    await page.getByText('2 of 2 pictures').waitFor();
    expect(await page.locator('#results canvas').count()).toBe(0);
    await page.focus('#explain');
    await page.keyboard.press('Space');
    const canvas = page.locator('#results canvas[aria-label]');
    await canvas.nth(1).waitFor();
    const best = (await page.locator('.verdict').first().textContent()) ?? '';
    expect(await canvas.first().getAttribute('aria-label')).toBe(`Where ${best} was seen`);
    expect(await page.textContent('#most')).toMatch(/^[\d.]+ or more$/);
    const pixels = () => canvas.first().evaluate((found) => (found as unknown as { toDataURL(): string }).toDataURL());
    const before = await pixels();
    await page.locator('#results .classes button').nth(1).focus();
    await page.keyboard.press('Enter');
    await page.locator('#results .classes button[aria-pressed=true]:focus').waitFor();
    expect(await pixels()).not.toBe(before);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await page.evaluate(await readFile(axe, 'utf8'));
      expect(await page.evaluate(`axe.run().then(({ violations }) => violations.map(({ id }) => id))`)).toEqual([]);
    }
    await page.setViewportSize({ width: 360, height: 640 });
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
    await page.uncheck('#explain');
    expect(await page.locator('#results canvas').count()).toBe(0);
    expect(await page.locator('#results img:visible').count()).toBeGreaterThanOrEqual(2);
    expect(complaints).toEqual([]);
  });

  test('shows where the classes were seen in a picture that was under way when that was asked for', async () => {
    const { url } = await serve(world);
    let answer = (): void => undefined;
    const isTime = new Promise<void>((resolve) => (answer = resolve));
    await page.route('**/classify*', async (route) => {
      await isTime;
      await route.continue();
    });
    await page.goto(url);
    const sent = page.waitForRequest('**/classify*');
    await page.setInputFiles('#files', world.pictures[0] ?? '');
    await sent;
    await page.check('#explain');
    answer();
    await page.locator('#results canvas[aria-label]').waitFor();
  });

  test('says first of a picture that it is unlike the training pictures, then the best guess', async () => {
    const unlike = join(folder, 'unlike.safetensors');
    await saveHead(unlike, hardlyTypical(world.classifier.head, 0.2));
    const { url } = await serve(world, { heads: { unlike } });
    await page.goto(url);
    await page.setInputFiles('#files', world.pictures[0] ?? '');
    expect(await page.textContent('.verdict')).toBe('Unlike the training pictures');
    const [best] = await world.classifier.predict(world.pictures[0] ?? '');
    expect(await page.textContent('.note')).toBe(`Typicality 0.100. Best guess: ${best?.label}`);
    expect(complaints).toEqual([]);
  });

  test('says first if a head is not clearly better than the most common class', async () => {
    // The pictures of one class, under names that they do not differ in.
    const data = join(folder, 'coin');
    for (const [i, picture] of world.pictures.slice(0, 4).entries()) {
      for (const label of i < 2 ? ['tails', 'heads'] : ['heads']) {
        await mkdir(join(data, label), { recursive: true });
        await cp(picture, join(data, label, `${label}-${basename(picture)}`));
      }
    }
    const [store, head] = [join(folder, 'coin-store'), join(folder, 'coin.safetensors')];
    await embedDataset(data, { backbone: world.classifier.backbone, store });
    await saveHead(head, (await trainFromStore({ store })).head);
    const { url } = await serve(world, { heads: { coin: head, stripes: world.head } });
    await page.goto(url);
    const worth = page.locator('#worth');
    await worth.waitFor();
    expect(await worth.textContent()).toMatch(/^Not clearly better than always answering “heads”: on 6 pictures/);
    expect(await worth.getAttribute('class')).toBe('note');
    await page.selectOption('#head', 'stripes');
    expect(await worth.textContent()).toMatch(/^Right for/);
  });

  test('takes pictures by the camera, by keyboard alone', async () => {
    const { url } = await serve(world);
    await page.goto(url);
    await page.focus('#open-camera');
    await page.keyboard.press('Enter');
    await page.getByText('does not let this page use the camera').waitFor();
    await page.context().grantPermissions(['camera']);
    await page.keyboard.press('Enter');
    await page.locator('#shoot:focus').waitFor();
    await page.keyboard.press('Enter');
    await page.keyboard.press('Enter');
    await page.locator('.verdict').nth(1).waitFor();
    expect(await page.locator('#results h2').allTextContents()).toEqual(['camera-2.jpg', 'camera-1.jpg']);
    expect(await page.evaluate(`document.querySelector('#results img').naturalWidth`)).toBeGreaterThan(300);
    expect(await page.textContent('#camera-failed')).toBe('');
    const stream = await page.evaluateHandle(`document.getElementById('live').srcObject`);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    expect(await stream.evaluate((found) => (found as { active: boolean }).active)).toBe(false);
    expect(await page.evaluate('document.activeElement.id')).toBe('open-camera');
    expect(complaints).toEqual([]);
  });

  test('saves the results as CSV, and clears them', async () => {
    const { url } = await serve(world);
    await page.goto(url);
    const picture = await readFile(world.pictures[0] ?? '');
    await page.setInputFiles('#files', [
      { name: 'a, "b".png', mimeType: 'image/png', buffer: picture },
      { name: 'note.txt', mimeType: 'text/plain', buffer: Buffer.from('hello') },
    ]);
    await page.getByText('2 of 2 pictures').waitFor();
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#save')]);
    expect(download.suggestedFilename()).toBe('predictions.csv');
    const rows: unknown = parse(await readFile(await download.path()), { columns: true });
    const { predictions, typicality, unknown } = await world.classifier.classify(picture);
    const [label, probability] = [predictions[0]?.label, predictions[0]?.probability.toFixed(4)];
    const none = { label: '', probability: '', typicality: '', unknown: '' };
    expect(rows).toEqual([
      {
        ...{ file: 'a, "b".png', head: 'stripes', label, probability },
        ...{ typicality: typicality?.toFixed(4), unknown: String(unknown), error: '' },
      },
      { file: 'note.txt', head: 'stripes', ...none, error: expect.stringMatching(/not a readable picture/) as string },
    ]);
    await page.click('#clear');
    expect(await page.locator('#results li').count()).toBe(0);
    expect(await page.textContent('#status')).toBe('');
    expect(await page.isVisible('#save')).toBe(false);
    await page.setInputFiles('#files', world.pictures[0] ?? '');
    await page.getByText('1 of 1 picture').waitFor();
  });

  test('keeps pictures that come before it knows the heads', async () => {
    const { url } = await serve(world);
    let answer = (): void => undefined;
    const isTime = new Promise<void>((resolve) => (answer = resolve));
    await page.route('**/v1/heads', async (route) => {
      await isTime;
      await route.continue();
    });
    await page.goto(url);
    await page.setInputFiles('#files', world.pictures[0] ?? '');
    answer();
    await page.getByText('1 of 1 picture').waitFor();
    expect(await page.locator('#results .verdict').count()).toBe(1);
  });

  test('does not show what the server refuses', async () => {
    const { url } = await serve(world);
    await page.goto(url);
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300"><rect width="99" height="99"/></svg>';
    await page.setInputFiles('#files', { name: 'a.svg', mimeType: 'image/svg+xml', buffer: Buffer.from(svg) });
    await page.getByText('SVG is not accepted here').waitFor();
    const img = page.locator('#results img');
    expect([await img.isVisible(), await img.getAttribute('src')]).toEqual([false, null]);
  });

  test('works under a path of a proxy, and on a phone', async () => {
    const { url } = await serve(world);
    // Like nginx with `location /ml/ { proxy_pass http://127.0.0.1:8080/; }`.
    const proxy = await listen((incoming, outgoing) => {
      const { method, headers, url: path = '' } = incoming;
      if (!path.startsWith('/ml/')) return outgoing.writeHead(404).end();
      return incoming.pipe(
        request(`${url}${path.slice(3)}`, { method, headers }, (answer) => {
          outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
          answer.pipe(outgoing);
        }),
      );
    });
    await page.setViewportSize({ width: 360, height: 640 });
    await page.goto(`${proxy.url}/ml/`);
    await page.setInputFiles('#files', world.pictures[0] ?? '');
    await page.locator('.similar img[src]').nth(5).waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
    expect(complaints).toEqual([]);
    proxy.close();
  });

  test('is not needed: a page of another origin sends pictures itself, with the key, if it is let in', async () => {
    const other = await listen((_incoming, outgoing) => outgoing.writeHead(200, { 'Content-Type': 'text/html' }).end());
    await page.goto(other.url);
    const picture = (await readFile(world.pictures[0] ?? '')).toString('base64');
    const answer = (url: string) =>
      page.evaluate(
        async ({ url, body }) => {
          const headers = { Authorization: 'Bearer open sesame', 'Content-Type': 'application/json' };
          const response = await fetch(`${url}/v1/classify`, { method: 'POST', headers, body });
          return (await response.json()) as { results: { predictions: { label: string }[] }[] };
        },
        { url, body: JSON.stringify({ pictures: [picture] }) },
      );
    const { url } = await serve(world, { apiKey: 'open sesame', cors: [other.url] });
    const [best] = await world.classifier.predict(world.pictures[0] ?? '');
    expect((await answer(url)).results[0]?.predictions[0]?.label).toBe(best?.label);
    const closed = await serve(world, { apiKey: 'open sesame' });
    await expect(answer(closed.url)).rejects.toThrow(/Failed to fetch/);
    other.close();
  });

  test('takes pictures that are dropped on it, and tells of a file that is none', async () => {
    const { url } = await serve(world);
    await page.goto(url);
    await page.waitForSelector('#drop', { state: 'visible' });
    await page.evaluate(`
      const data = new DataTransfer();
      data.items.add(new File(['no picture'], '<b>notes</b>.txt'));
      document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }));
    `);
    await page.waitForSelector('#results .failed');
    expect(await page.textContent('#results .failed')).toMatch(/not a readable picture/);
    expect(await page.textContent('#results h2')).toBe('<b>notes</b>.txt');
  });

  test('asks for the key where there is one', async () => {
    const { url } = await serve(world, { apiKey: 'open sesame' });
    await page.goto(url);
    await page.fill('#key', 'open says me');
    await page.keyboard.press('Enter');
    await page.getByText('Wrong key.').waitFor();
    await page.fill('#key', 'open sesame');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#drop', { state: 'visible' });
    await page.setInputFiles('#files', world.pictures[0] ?? '');
    await page.locator('.similar img[src]').nth(5).waitFor();
  });
});
