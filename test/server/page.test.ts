import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { chromium, type Browser, type Page } from 'playwright-core';
import { CHROMIUM, describeWithBrowser } from '../support/browser.js';
import { temporaryFolder } from '../support/files.js';
import { closeServer, makeWorld, serve } from '../support/server.js';

const folder = await temporaryFolder();
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

describeWithBrowser('the page', () => {
  let browser: Browser;
  let page: Page;
  const complaints: string[] = [];
  let world: Awaited<ReturnType<typeof makeWorld>>;

  beforeAll(async () => {
    world = await makeWorld(folder, 4);
    browser = await chromium.launch({ executablePath: CHROMIUM ?? '', args: ['--no-sandbox'] });
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

  test('takes pictures that are dropped on it, and tells of a file that is none', async () => {
    const { url } = await serve(world);
    await page.goto(url);
    await page.waitForSelector('#drop', { state: 'visible' });
    await page.evaluate(`
      const data = new DataTransfer();
      data.items.add(new File(['no picture'], '<b>notes</b>.txt'));
      document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }));
    `);
    await page.waitForSelector('.failed');
    expect(await page.textContent('.failed')).toMatch(/not a readable picture/);
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
