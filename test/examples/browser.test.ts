import { readdirSync } from 'node:fs';
import { cp, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import sirv from 'sirv';
import { loadBackbone } from '../../src/backbone/load.js';
import { Classifier } from '../../src/classify/classifier.js';
import { trainFromStore } from '../../src/classify/train.js';
import { embedDataset } from '../../src/embed/embed.js';
import { exportOnnx } from '../../src/export/onnx.js';
import { CHROMIUM, describeWithBrowser } from '../support/browser.js';
import { ROOT, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const root = await temporaryFolder();
const EXAMPLES = join(ROOT, 'test', 'fixtures', 'examples', 'val');

describeWithBrowser('the example page', () => {
  let classifier: Classifier;
  let server: Server;
  let browser: Browser;
  let page: Page;
  const pictures = readdirSync(EXAMPLES).flatMap((label) =>
    readdirSync(join(EXAMPLES, label))
      .slice(0, 2)
      .map((file) => join(EXAMPLES, label, file)),
  );
  const complaints: string[] = [];

  beforeAll(async () => {
    // A copy, so that no model is left in the project.
    await cp(join(ROOT, 'examples', 'browser'), join(root, 'examples', 'browser'), {
      recursive: true,
      filter: (path) => !path.endsWith('.onnx'),
    });
    await symlink(join(ROOT, 'node_modules'), join(root, 'node_modules'));
    const model = join(root, 'small.onnx');
    await writeFile(model, smallNetwork());
    const backbone = await loadBackbone({ model });
    const store = join(root, 'store');
    await embedDataset(EXAMPLES, { backbone, store });
    classifier = new Classifier(backbone, (await trainFromStore({ store })).head);
    await exportOnnx(classifier, join(root, 'examples', 'browser', 'classifier.onnx'), { pictures });
    server = createServer(sirv(root, { dev: true }));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    browser = await chromium.launch({
      ...(CHROMIUM !== undefined && { executablePath: CHROMIUM }),
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic'],
    });
    page = await browser.newPage();
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    page.on('request', (request) => {
      if (!request.url().startsWith(address) && !/^(blob|data):/.test(request.url())) complaints.push(request.url());
    });
    await page.goto(`${address}examples/browser/`);
    await page.waitForSelector('#file:enabled');
  });

  afterAll(async () => {
    await browser.close();
    await new Promise((resolve) => server.close(resolve));
  });

  async function answerTo(file: string): Promise<{ label: string; probability: number }[]> {
    await page.setInputFiles('#file', []);
    await page.setInputFiles('#file', file);
    await page.waitForSelector('#answer:not([hidden])');
    const labels = await page.locator('#classes span').allTextContents();
    const values = await page.locator('#classes data').all();
    const probabilities = await Promise.all(values.map((value) => value.getAttribute('value')));
    return labels.map((label, i) => ({ label, probability: Number(probabilities[i]) }));
  }

  it('names the class that predict names, with about its probability, and loads nothing from elsewhere', async () => {
    expect(await page.textContent('#status')).toBe('It knows butterfly, fish, flower, mushroom.');
    for (const picture of pictures) {
      const found = await answerTo(picture);
      const expected = await classifier.predict(picture, { topK: 4 });
      expect(found.map(({ label }) => label)).toEqual(expected.map(({ label }) => label));
      expected.forEach(({ probability }, i) => {
        expect(Math.abs(probability - (found[i]?.probability ?? NaN))).toBeLessThan(0.02);
      });
      expect(await page.textContent('#verdict')).toContain(expected[0]?.label);
    }
    expect(complaints).toEqual([]);
  });

  it('says of a file that is no picture that it cannot be read', async () => {
    await page.setInputFiles('#file', {
      name: 'no.jpg',
      mimeType: 'image/jpeg',
      buffer: Buffer.from('no picture'),
    });
    await page.waitForSelector('#status:has-text("no.jpg cannot be read")');
    expect(await page.isHidden('#answer')).toBe(true);
    complaints.length = 0;
  });
});
