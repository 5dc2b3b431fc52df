import { once } from 'node:events';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { parse } from 'csv-parse/sync';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { type RunningLabelling, startLabelling } from '../../src/label/server.js';
import type { LabelOptions } from '../../src/label/options.js';
import { CHROMIUM, describeWithBrowser } from '../support/browser.js';
import { lastlayerProcess } from '../support/command-line.js';
import { ROOT, temporaryFolder } from '../support/files.js';

const folder = await temporaryFolder();
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const EXAMPLES = join(ROOT, 'test', 'fixtures', 'examples', 'train');
const CLASSES = ['butterfly', 'fish', 'flower', 'mushroom'];

/** Copies of the examples in one folder, without labels, so many of each class; their names begin with it. */
async function unlabelled(name: string, each: number): Promise<string> {
  const data = join(folder, name);
  await mkdir(data);
  for (const label of CLASSES) {
    const files = (await readdir(join(EXAMPLES, label))).sort().slice(0, each);
    for (const file of files) await cp(join(EXAMPLES, label, file), join(data, file));
  }
  return data;
}

/** 48 pictures, `butterfly-01.jpg` … `mushroom-12.jpg`. */
const photos = await unlabelled('photos', 12);

/** The class that a picture's name says it is of. */
function truth(name: string): string {
  return CLASSES.find((one) => name.startsWith(one)) ?? '';
}

function keyOf(label: string): string {
  return String(1 + CLASSES.indexOf(label));
}

describeWithBrowser('the label page', () => {
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let running: RunningLabelling | undefined;
  const complaints: string[] = [];

  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: CHROMIUM ?? '',
      args: ['--no-sandbox', '--use-fake-device-for-media-stream'],
    });
  });
  beforeEach(async () => {
    complaints.length = 0;
    context = await browser.newContext({ permissions: ['camera'], viewport: { width: 1280, height: 800 } });
    page = await newPage();
  });
  afterEach(async () => {
    await context.close();
    await running?.close();
    running = undefined;
  });
  afterAll(() => browser.close());

  /** A page whose complaints count, and whose requests to anywhere else do, too. */
  async function newPage(): Promise<Page> {
    const opened = await context.newPage();
    opened.on('console', (message) => {
      if (message.type() === 'error') complaints.push(message.text());
    });
    opened.on('pageerror', (error) => complaints.push(error.message));
    opened.on('request', (request) => {
      if (!/^(http:\/\/127\.0\.0\.1:|blob:|data:)/.test(request.url())) complaints.push(request.url());
    });
    return opened;
  }

  let sessions = 0;

  /** Opens a session in which nothing is labelled. */
  async function label(options: Partial<LabelOptions> = {}): Promise<RunningLabelling> {
    const name = join(folder, `session-${++sessions}`);
    running = await startLabelling({
      ...{ dataset: photos, labels: CLASSES, port: 0, store: join(folder, 'store') },
      ...{ out: `${name}.csv`, head: `${name}.safetensors` },
      ...options,
    });
    return running;
  }

  async function open(url: string, hash = ''): Promise<void> {
    await page.goto(`${url}${hash}`);
    await page.locator('#grid').waitFor();
  }

  const cell = (name: string) => page.locator(`.cell[title^="${name}"]`);
  const current = () => page.locator('.cell.cursor');
  const selected = () => page.locator('.cell[aria-selected="true"]');

  /** Waits for a number behind the name of a view, a queue or a class. */
  async function waitForNumber(name: string, number: number): Promise<void> {
    const item = page.locator('.item', { has: page.locator(`.name:text-is("${name}")`) });
    await item.locator(`.number:text-is("${number}")`).waitFor();
  }

  /** The name of the picture under the cursor. */
  async function nameOfCurrent(): Promise<string> {
    return (await current().getAttribute('title')) ?? '';
  }

  /** Presses the key of the picture's class. */
  async function labelRightly(): Promise<void> {
    await page.keyboard.press(keyOf(truth(await nameOfCurrent())));
  }

  /** The manifest's labels by name, of those that have one. */
  async function saved(): Promise<Map<string, string>> {
    await running?.save();
    const rows: Record<string, string>[] = parse(await readFile(running?.manifest ?? '', 'utf8'), { columns: true });
    return new Map(
      rows.filter(({ label }) => label !== '').map(({ path = '', label = '' }) => [basename(path), label]),
    );
  }

  async function violations(): Promise<unknown> {
    await page.evaluate(axe);
    return page.evaluate(
      `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]))`,
    );
  }

  test('labels twenty pictures by keyboard, takes two back and gives one anew', async () => {
    const { url } = await label();
    await open(url);
    for (let i = 0; i < 20; i++) await labelRightly();
    await waitForNumber('Not labelled', 28);
    await page.keyboard.press('u');
    await page.keyboard.press('Control+z');
    await waitForNumber('Not labelled', 30);
    expect(await nameOfCurrent()).toBe('fish-07.jpg');
    expect(await current().textContent()).toBe('no label');
    await page.keyboard.press('Shift+u');
    await waitForNumber('Not labelled', 29);
    const labels = await saved();
    expect(labels.size).toBe(19);
    expect([...labels].every(([name, given]) => truth(name) === given)).toBe(true);
    expect(complaints).toEqual([]);
  });

  test('selects twelve with Shift and labels them at once; one key takes all twelve back', async () => {
    const { url } = await label();
    await open(url);
    for (let i = 0; i < 11; i++) await page.keyboard.press('Shift+ArrowRight');
    expect(await selected().count()).toBe(12);
    await page.keyboard.press('1');
    await waitForNumber('butterfly', 12);
    expect(await nameOfCurrent()).toBe('fish-01.jpg');
    await page.keyboard.press('u');
    await waitForNumber('butterfly', 0);
    await page.keyboard.press('Shift+u');
    await waitForNumber('butterfly', 12);
    expect([...(await saved()).keys()].every((name) => truth(name) === 'butterfly')).toBe(true);
    expect(complaints).toEqual([]);
  });

  test('selects by mouse: with Ctrl, with Shift, and by a band', async () => {
    const { url } = await label();
    await open(url);
    await cell('butterfly-02.jpg').click();
    await cell('butterfly-04.jpg').click({ modifiers: ['Shift'] });
    await cell('butterfly-03.jpg').click({ modifiers: ['Control'] });
    expect(await selected().count()).toBe(2);
    const [from, to] = [await cell('butterfly-01.jpg').boundingBox(), await cell('butterfly-03.jpg').boundingBox()];
    if (!from || !to) throw new Error('The cells are not on the screen.');
    await page.mouse.move(from.x + 20, from.y + 20);
    await page.mouse.down();
    await page.mouse.move(to.x + 20, to.y + 40, { steps: 5 });
    await page.mouse.up();
    expect(await selected().count()).toBe(3);
    await page.keyboard.press('x');
    await waitForNumber('Left out', 3);
    expect(await cell('butterfly-02.jpg').count()).toBe(0);
    await page.click('.item:has-text("Left out")');
    await page.keyboard.press('Control+a');
    await page.keyboard.press('x');
    await waitForNumber('Left out', 0);
    expect(complaints).toEqual([]);
  });

  test('makes, renames, merges and removes classes', async () => {
    const { url } = await label({ labels: ['bug', 'fish'] });
    await open(url);
    await page.keyboard.press('1');
    await waitForNumber('bug', 1);
    // By its name, where there is no key; and one that is not there yet.
    await page.keyboard.press('/');
    await page.keyboard.type('beetle');
    await page.keyboard.press('Enter');
    await waitForNumber('beetle', 1);
    await page.keyboard.press('/');
    await page.keyboard.type('bee');
    await page.keyboard.press('Enter');
    await waitForNumber('beetle', 2);
    await page.getByRole('button', { name: 'Change the class beetle' }).click();
    await page.getByText('Rename or merge').click();
    await page.fill('dialog input', 'bug');
    await page.getByRole('button', { name: 'Merge beetle into bug' }).click();
    await waitForNumber('bug', 3);
    await page.getByRole('button', { name: 'Change the class bug' }).click();
    await page.getByText('Rename or merge').click();
    await page.fill('dialog input', 'butterfly');
    await page.keyboard.press('Enter');
    await waitForNumber('butterfly', 3);
    expect(new Set((await saved()).values())).toEqual(new Set(['butterfly']));
    await page.getByRole('button', { name: 'Change the class butterfly' }).click();
    await page.getByText('Remove').click();
    await waitForNumber('Not labelled', 48);
    await page.keyboard.press('u');
    await waitForNumber('butterfly', 3);
    expect(complaints).toEqual([]);
  });

  test('filters, sorts and searches, and comes back to the view after a reload', async () => {
    const { url } = await label();
    await open(url);
    for (let i = 0; i < 3; i++) await page.keyboard.press('1');
    await waitForNumber('butterfly', 3);
    await page.keyboard.press('f');
    await page.keyboard.type('-0');
    await page.selectOption('.choice select', 'name');
    await page.locator('.field', { hasText: 'State' }).locator('select').selectOption('not labelled');
    // Nine of each class, less three.
    await page.locator('h1 .number:text-is("33")').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('#grid').focus();
    await page.keyboard.press('End');
    await page.keyboard.press(' ');
    await page.getByRole('region', { name: 'Picture mushroom-09.jpg' }).waitFor();
    await page.waitForURL(/large=true/);
    await page.reload();
    await page.getByRole('region', { name: 'Picture mushroom-09.jpg' }).waitFor();
    expect(await page.textContent('.facts .place')).toBe('33 of 33');
    await page.keyboard.press('Escape');
    expect(await page.locator('.parts .chip').allTextContents()).toEqual(['name has “-0” ×', 'not labelled ×']);
    expect(complaints).toEqual([]);
  });

  test('filters by what check-data finds, says why, in the large view, too, and keeps what is right', async () => {
    const data = await unlabelled('found', 6);
    await cp(join(data, 'fish-02.jpg'), join(data, 'fish-02-again.jpg'));
    const { url } = await label({ dataset: data });
    await open(url);
    await page.keyboard.press('f');
    const choice = page.locator('.field', { hasText: 'Finding' }).locator('select');
    await choice.selectOption('exact duplicate');
    await page.locator('h1 .number:text-is("1")').waitFor();
    expect(await choice.locator('option:checked').textContent()).toBe('exact duplicate (1)');
    expect(await current().locator('.reason').textContent()).toBe('the same file');
    expect(await violations()).toEqual([]);
    await page.locator('.parts .chip', { hasText: 'exact duplicate' }).click();
    await page.locator('h1 .number:text-is("25")').waitFor();
    await cell('fish-02.jpg').click();
    await page.keyboard.press(' ');
    await page.locator('.facts .why', { hasText: 'exact duplicate: the same file' }).waitFor();
    await page.keyboard.press('Escape');
    await choice.selectOption('exact duplicate');
    await page.locator('h1 .number:text-is("1")').waitFor();
    await page.locator('#grid').focus();
    await page.reload();
    await page.locator('h1 .number:text-is("1")').waitFor();
    await page.locator('.label-bar .chip', { hasText: 'Keep' }).click();
    await page.getByText('1 picture confirmed.').waitFor();
    await page.locator('h1 .number:text-is("0")').waitFor();
    await page.keyboard.press('u');
    await page.locator('h1 .number:text-is("1")').waitFor();
    expect(complaints).toEqual([]);
  });

  test('puts what is selected into a split, by key and by button, and takes it out', async () => {
    const { url } = await label();
    await open(url);
    await page.keyboard.press('Shift+ArrowRight');
    await page.keyboard.press('t');
    await page.getByText('2 pictures moved to test.').waitFor();
    expect(await cell('butterfly-02.jpg').locator('.mark').textContent()).toBe('test');
    const button = (name: string) => page.locator('.splits').getByRole('button', { name: new RegExp(`${name}$`) });
    expect(await button('test').getAttribute('aria-pressed')).toBe('true');
    await button('train').click();
    await page.getByText('2 pictures moved to train.').waitFor();
    await button('train').click();
    await page.getByText('2 pictures in no split.').waitFor();
    await button('val').click();
    await page.getByText('2 pictures moved to val.').waitFor();
    await running?.save();
    const rows: Record<string, string>[] = parse(await readFile(running?.manifest ?? '', 'utf8'), { columns: true });
    expect(rows.filter(({ split }) => split === 'val').map(({ path = '' }) => basename(path))).toEqual([
      'butterfly-01.jpg',
      'butterfly-02.jpg',
    ]);
    expect(complaints).toEqual([]);
  });

  test('shows a picture large: zooms, pans, turns the page, and labels there', async () => {
    const { url } = await label();
    await open(url);
    await cell('butterfly-01.jpg').dblclick();
    const sheet = page.locator('.sheet');
    await page.locator('.sheet img').nth(1).waitFor();
    const width = async () => (await sheet.boundingBox())?.width ?? 0;
    const whole = await width();
    await page.mouse.move(640, 350);
    await page.mouse.wheel(0, -300);
    expect(await width()).toBeGreaterThan(2 * whole);
    const left = (await sheet.boundingBox())?.x ?? 0;
    await page.mouse.down();
    await page.mouse.move(740, 350, { steps: 4 });
    await page.mouse.up();
    expect((await sheet.boundingBox())?.x).toBeCloseTo(left + 100, 0);
    await page.keyboard.press('1');
    await page.getByRole('region', { name: 'Picture butterfly-02.jpg' }).waitFor();
    expect(await sheet.getAttribute('style')).toContain('scale(1)');
    await page.keyboard.press('ArrowRight');
    await page.getByRole('region', { name: 'Picture butterfly-03.jpg' }).waitFor();
    await page.keyboard.press('Escape');
    expect(await nameOfCurrent()).toBe('butterfly-03.jpg');
    await page.locator('#grid:focus').waitFor();
    await waitForNumber('butterfly', 1);
    expect(complaints).toEqual([]);
  });

  test('keeps two tabs in step', async () => {
    const { url } = await label();
    await open(url);
    const other = await newPage();
    await other.goto(url);
    await other.locator('.cell').first().waitFor();
    await page.bringToFront();
    await page.keyboard.press('1');
    await other.getByText('In another tab: 1 picture labelled butterfly.').waitFor();
    expect(await other.locator('.cell').first().textContent()).toBe('butterfly');
    await other.bringToFront();
    await other.keyboard.press('u');
    await waitForNumber('butterfly', 0);
    expect(complaints).toEqual([]);
  });

  /** Labels the first pictures of each class: what the classifier begins with. */
  async function labelSome(each: number): Promise<void> {
    for (const label of CLASSES) {
      await page.fill('#search', label);
      await page.locator('h1 .number:text-is("12")').waitFor();
      await page.locator('#grid').focus();
      await page.keyboard.press('Home');
      for (let i = 1; i < each; i++) await page.keyboard.press('Shift+ArrowRight');
      await page.keyboard.press(keyOf(label));
      await waitForNumber(label, each);
    }
    await page.fill('#search', '');
    // The classifier has learnt from all of them.
    await page.getByText(`from ${each * CLASSES.length} labels`).waitFor();
    await page.locator('.suggestion .certainty').first().waitFor();
  }

  test('empties the queue of what to label next, by keys and by Enter', async () => {
    const { url } = await label();
    await open(url);
    await labelSome(3);
    await page.click('.item:has-text("Next to label")');
    await page.locator('h1 .number:text-is("36")').waitFor();
    for (let i = 0; i < 5; i++) await labelRightly();
    await waitForNumber('Next to label', 31);
    expect(await page.locator('.cell .class').count()).toBe(0);
    const suggestion = await current().locator('.suggestion .name').textContent();
    const name = await nameOfCurrent();
    await page.keyboard.press('Enter');
    await waitForNumber('Next to label', 30);
    expect((await saved()).get(name)).toBe(suggestion);
    // A step back brings it back, where it was.
    await page.keyboard.press('u');
    await waitForNumber('Next to label', 31);
    expect(await nameOfCurrent()).toBe(name);
    expect(complaints).toEqual([]);
  });

  test('labels a cluster with one key, without what was clicked out of it', async () => {
    const { url } = await label();
    await open(url, '#view=clusters');
    await page.locator('.heading.current').waitFor();
    const first = page.locator('.heading').first();
    const number = Number(/\d+/.exec((await first.textContent()) ?? '')?.[0]);
    expect(await page.textContent('.label-bar .about')).toContain(`${number} selected`);
    await page.locator('.cell.selected').nth(1).click();
    expect(await page.textContent('.label-bar .about')).toContain(`${number - 1} selected`);
    await page.keyboard.press('2');
    await waitForNumber('fish', number - 1);
    await waitForNumber('Not labelled', 48 - number + 1);
    expect(complaints).toEqual([]);
  });

  test('goes through doubtful labels: keeps one, takes that back, and takes the suggestion', async () => {
    const { url } = await label();
    await open(url);
    await labelSome(12);
    await page.fill('#search', 'flower-02.jpg');
    await page.locator('h1 .number:text-is("1")').waitFor();
    await page.locator('#grid').focus();
    await page.keyboard.press(keyOf('mushroom'));
    await waitForNumber('mushroom', 13);
    await page.click('.item:has-text("Doubtful labels")');
    const doubtful = cell('flower-02.jpg');
    await doubtful.click();
    expect(await current().locator('.suggestion .name').textContent()).toBe('flower?');
    await page.keyboard.press('k');
    await doubtful.waitFor({ state: 'detached' });
    expect((await saved()).get('flower-02.jpg')).toBe('mushroom');
    await page.keyboard.press('u');
    await doubtful.waitFor();
    expect(await nameOfCurrent()).toBe('flower-02.jpg');
    await page.keyboard.press('Enter');
    await waitForNumber('mushroom', 12);
    await doubtful.waitFor({ state: 'detached' });
    expect((await saved()).get('flower-02.jpg')).toBe('flower');
    expect(complaints).toEqual([]);
  });

  test('accepts what is certain, by class, after a look at a sample', async () => {
    const { url } = await label();
    await open(url);
    await labelSome(6);
    await page.click('.item:has-text("Accept")');
    await page.locator('.accept input').fill('50');
    await page.locator('.accept .main', { hasText: /\d/ }).waitFor();
    expect(await violations()).toEqual([]);
    // At once, as the number changes with the classifier.
    const text = await page.evaluate<string>(
      `(() => {
        const button = document.querySelector('.accept .main');
        const { textContent } = button;
        button.click();
        return textContent;
      })()`,
    );
    const number = Number(/\d+/.exec(text)?.[0]);
    expect(number).toBeGreaterThan(0);
    await waitForNumber('Not labelled', 24 - number);
    const labels = await saved();
    expect(labels.size).toBe(24 + number);
    const right = [...labels].filter(([name, given]) => truth(name) === given).length;
    expect(right / labels.size).toBeGreaterThan(0.8);
    expect(complaints).toEqual([]);
  });

  test('switches labels on and off where pictures have any number of them', async () => {
    const { url } = await label({ multilabel: true });
    await open(url);
    await page.keyboard.press('1');
    await page.keyboard.press('2');
    await waitForNumber('fish', 1);
    expect(await current().locator('.class').allTextContents()).toEqual(['butterfly', 'fish']);
    await page.keyboard.press('1');
    await waitForNumber('butterfly', 0);
    expect(await current().locator('.class').allTextContents()).toEqual(['fish']);
    // It stays in the queue until the cursor goes on.
    await page.click('.item:has-text("Next to label")');
    await page.locator('h1 .number:text-is("47")').waitFor();
    const name = await nameOfCurrent();
    await page.keyboard.press('3');
    await waitForNumber('flower', 1);
    expect(await nameOfCurrent()).toBe(name);
    await page.keyboard.press('ArrowRight');
    await cell(name).waitFor({ state: 'detached' });
    await page.keyboard.press('k');
    await waitForNumber('Not labelled', 45);
    expect(complaints).toEqual([]);
  });

  test('shows more pictures like one', async () => {
    const { url } = await label();
    await open(url);
    await page.keyboard.press('m');
    await page.getByText('Like butterfly-01.jpg').waitFor();
    await cell('butterfly').nth(3).waitFor();
    expect(await page.locator('.reason').first().textContent()).toMatch(/^cosine [01]\.\d{3}$/);
    expect(complaints).toEqual([]);
  });

  test('adds files and folders that are dropped on it, and says which are no pictures', async () => {
    const { url } = await label({ dataset: await unlabelled('growing', 3) });
    await open(url);
    const dropped = join(folder, 'to drop', 'moth');
    await mkdir(dropped, { recursive: true });
    await cp(join(EXAMPLES, 'butterfly', 'butterfly-20.jpg'), join(dropped, 'a.jpg'));
    await cp(join(EXAMPLES, 'butterfly', 'butterfly-21.jpg'), join(dropped, 'b.jpg'));
    await writeFile(join(dropped, '<i>notes.txt'), 'No picture.');
    const client = await context.newCDPSession(page);
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
      const data = { items: [], files: [dropped], dragOperationsMask: 1 };
      await client.send('Input.dispatchDragEvent', { type, x: 600, y: 400, data });
    }
    await page.getByText('the name of their folder: moth').waitFor();
    await page.locator('dialog .main').click();
    await page.getByText('1 file not added').waitFor();
    expect(await page.locator('dialog li').textContent()).toContain('<i>notes.txt');
    await page.keyboard.press('Escape');
    await waitForNumber('moth', 2);
    await waitForNumber('All pictures', 14);
    // One step.
    await page.keyboard.press('u');
    await waitForNumber('All pictures', 12);
    expect(complaints).toEqual([]);
  });

  test('takes pictures by the camera into a class, one by one and in a burst', async () => {
    const { url } = await label({ dataset: await unlabelled('filmed', 3) });
    await open(url);
    await page.keyboard.press('c');
    await page.locator('.shutters .chip:enabled').first().waitFor();
    await page.keyboard.press('2');
    await waitForNumber('fish', 1);
    const shutter = page.locator('.shutters .chip').nth(2);
    await shutter.hover();
    await page.mouse.down();
    await page.waitForTimeout(900);
    await page.mouse.up();
    await page.locator('.shots li').nth(3).waitFor();
    const count = Number(await shutter.locator('.number').textContent());
    expect(count).toBeGreaterThanOrEqual(3);
    const width = `document.querySelector('.shots img').decode().then(() => document.querySelector('.shots img').naturalWidth)`;
    expect(await page.evaluate(width)).toBeGreaterThan(100);
    // Where not all of the pictures fit, the keyboard reaches the others.
    await page.setViewportSize({ width: 400, height: 800 });
    const taken = page.getByRole('region', { name: 'Pictures taken' });
    await taken.focus();
    await page.keyboard.press('ArrowRight');
    await page.waitForFunction(`document.querySelector('.shots').scrollLeft > 0`);
    expect(await violations()).toEqual([]);
    const stream = await page.evaluateHandle(`document.querySelector('video').srcObject`);
    await page.keyboard.press('[');
    await page.locator('video').waitFor({ state: 'detached' });
    expect(await stream.evaluate((found) => (found as { active: boolean }).active)).toBe(false);
    expect(complaints).toEqual([]);
  });

  test('works on a tablet: a long press selects, taps select more, and buttons label', async () => {
    await context.close();
    context = await browser.newContext({ hasTouch: true, isMobile: true, viewport: { width: 820, height: 1180 } });
    page = await newPage();
    const { url } = await label();
    await open(url);
    const box = await cell('butterfly-02.jpg').boundingBox();
    const client = await context.newCDPSession(page);
    const point = { x: (box?.x ?? 0) + 40, y: (box?.y ?? 0) + 40 };
    await client.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: [point] });
    await page.locator('.cell.selected').waitFor();
    await client.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
    await cell('butterfly-04.jpg').tap();
    expect(await selected().count()).toBe(2);
    await page.locator('.classes .chip', { hasText: 'butterfly' }).tap();
    await page.getByText('2 pictures labelled butterfly.').waitFor();
    expect(await selected().count()).toBe(0);
    await page.locator('.toolbar .only-small').tap();
    expect(await violations()).toEqual([]);
    await page.locator('.item', { hasText: 'Not labelled' }).tap();
    await page.locator('h1 .number:text-is("46")').waitFor();
    await cell('butterfly-01.jpg').tap();
    await page.getByRole('region', { name: 'Picture butterfly-01.jpg' }).waitFor();
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(820);
    expect(complaints).toEqual([]);
  });

  test('goes on after the server was killed and started anew, with nothing lost that it had shown', async () => {
    const out = join(folder, 'killed.csv');
    const data = await unlabelled('killed', 3);
    const start = async (port: string) => {
      const args = ['label', data, '--labels', CLASSES.join(), '--out', out, '--store', join(folder, 'store')];
      const child = lastlayerProcess([...args, '--port', port], folder);
      const [line] = (await once(createInterface(child.process.stdout ?? process.stdin), 'line')) as [string];
      return { ...child, url: /http:\S+/.exec(line)?.[0] ?? '' };
    };
    const first = await start('0');
    await open(first.url);
    await labelRightly();
    await labelRightly();
    await waitForNumber('butterfly', 2);
    first.process.kill('SIGKILL');
    await first.outcome;
    await page.getByText('The server is gone.').waitFor();
    // The cursor goes on, and what is done waits.
    await labelRightly();
    await page.getByText('1 action will be sent').waitFor();
    expect(await nameOfCurrent()).toBe('fish-01.jpg');
    // Another program takes the port: it hears from the page, but not the token.
    const heard: string[] = [];
    const other = createServer(({ url, headers }, response) => {
      heard.push(JSON.stringify([url, headers]));
      response.setHeader('Content-Type', 'application/json').end('{"proof":"made up"}');
    }).listen(Number(new URL(first.url).port), '127.0.0.1');
    await page.getByText('This is not the address of these labels').waitFor();
    expect(heard.join('\n')).toContain('/api/proof');
    expect(heard.join('\n')).not.toContain(new URL(first.url).searchParams.get('token'));
    other.closeAllConnections();
    await new Promise((resolve) => other.close(resolve));
    // A picture that comes before all others: from now on, they have other numbers.
    await cp(join(EXAMPLES, 'mushroom', 'mushroom-20.jpg'), join(data, 'a-mushroom.jpg'));
    const second = await start(new URL(first.url).port);
    expect(second.url).toBe(first.url);
    // The page goes on by itself, and what waited is done to the picture that it was meant for.
    await waitForNumber('butterfly', 3);
    await waitForNumber('All pictures', 13);
    expect(await nameOfCurrent()).toBe('fish-01.jpg');
    await cell('butterfly-03.jpg').locator('.class', { hasText: 'butterfly' }).waitFor();
    await labelRightly();
    await waitForNumber('fish', 1);
    second.process.kill('SIGTERM');
    await second.outcome;
    const rows: Record<string, string>[] = parse(await readFile(out, 'utf8'), { columns: true });
    const given = rows.flatMap(({ path = '', label = '' }) => (label === '' ? [] : `${basename(path)} ${label}`));
    expect(given).toEqual([1, 2, 3].map((n) => `butterfly-0${n}.jpg butterfly`).concat('fish-01.jpg fish'));
  });

  test('is accessible: grid, large view, filters, dialogs, in light and dark', async () => {
    const { url } = await label();
    await open(url);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      await page.keyboard.press('Shift+ArrowRight');
      expect(await violations()).toEqual([]);
      await page.keyboard.press('f');
      await page.getByText('Suggestion is not the label').waitFor();
      expect(await violations()).toEqual([]);
      await page.keyboard.press('Escape');
      for (const key of [' ', '?', '/', 'n', 'Control+s']) {
        await page.keyboard.press(key);
        await page.locator(key === ' ' ? '.large' : 'dialog[open]').waitFor();
        if (key === 'Control+s') await page.getByText('Saved').waitFor();
        expect(await violations()).toEqual([]);
        await page.keyboard.press('Escape');
        await page.locator(key === ' ' ? '.large' : 'dialog[open]').waitFor({ state: 'detached' });
      }
    }
    expect(complaints).toEqual([]);
  });
});
