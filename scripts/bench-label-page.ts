import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium, type Browser, type CDPSession, type Page } from 'playwright-core';
import sharp from 'sharp';
import { csvLine } from '../src/util/format.js';
import { LastlayerError } from '../src/util/errors.js';
import { CHROMIUM } from '../test/support/chromium.js';
import { smallNetwork } from '../test/support/small-network.js';
import { pageWork, type TraceEvent } from './label-page/trace.js';
import { Random } from './support/random.js';
import { COMMAND_LINE, count, ROOT, run, script } from './support/script.js';

const CLASSES = 8;
/** Pictures that are labelled from the start. */
const LABELLED = 400;
/** How long the page is scrolled in each way, in ms. */
const SCROLL_MS = 6000;
const LONG_MS = 50;

export const command = script(
  'bench-label-page',
  'Measure the label page on many generated pictures, in Chromium: how long it takes to be there once the pictures are embedded, ' +
    'the frames and tasks of the page over 50 ms while it is scrolled (by the browser’s own tracing), and the memory of page ' +
    'and server. The pictures are embedded by a network of random weights whose embeddings are as wide as those of ResNet-18.',
  ['', '--pictures 100000 --folder ~/generated'],
)
  .option('--pictures <n>', 'how many', count, 50_000)
  .option(
    '--folder <dir>',
    'keep pictures and embeddings here, and use those that are there (default: a temporary folder)',
  )
  .action(benchLabel);
await run(import.meta.url, command);

async function benchLabel({ pictures, folder }: { pictures: number; folder?: string }): Promise<void> {
  if (CHROMIUM === undefined) throw new LastlayerError('There is no Chromium. Install it, or name it by CHROMIUM.');
  const place = folder ?? (await mkdtemp(join(tmpdir(), 'lastlayer-label-')));
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  try {
    await draw(place, pictures);
    const first = await startServer(place);
    await first.stop();
    // The embeddings are there now.
    const server = await startServer(place);
    try {
      console.log(`the server listens after ${seconds(server.ms)}`);
      await measurePage(browser, server);
    } finally {
      await server.stop();
    }
  } finally {
    await browser.close();
    if (folder === undefined) await rm(place, { recursive: true, force: true });
  }
}

/** Draws what is not there yet: blurred spots of a hue that is the class. Every picture is another. */
async function draw(folder: string, pictures: number): Promise<void> {
  const manifest = join(folder, 'pictures.csv');
  const known = await readFile(manifest, 'utf8').catch(() => '');
  if (known.split('\n').length === pictures + 2) return;
  await mkdir(join(folder, 'pictures'), { recursive: true });
  await writeFile(join(folder, 'small.onnx'), smallNetwork(1, { width: 512, stride: 32 }));
  const random = new Random(1);
  const lines = [csvLine(['path', 'label'])];
  for (let i = 0; i < pictures; i++) {
    const path = `pictures/${String(i).padStart(6, '0')}.jpg`;
    const label = i % CLASSES;
    const pixels = Buffer.from(
      Array.from({ length: 48 }, () => hue(random.between(label, label + 0.8) / CLASSES, random)).flat(),
    );
    await sharp(pixels, { raw: { width: 8, height: 6, channels: 3 } })
      .resize(320, 240)
      .jpeg({ quality: 70 })
      .toFile(join(folder, path));
    lines.push(csvLine([path, i < LABELLED ? `class ${label}` : '']));
    if (i % 1000 === 999) process.stderr.write(`\rdrawn: ${i + 1} of ${pictures}`);
  }
  process.stderr.write('\n');
  await writeFile(manifest, lines.join(''));
}

function hue(turn: number, random: Random): [number, number, number] {
  const light = random.between(60, 230);
  const part = (offset: number) => light * (0.6 + 0.4 * Math.cos(2 * Math.PI * (turn + offset)));
  return [part(0), part(1 / 3), part(2 / 3)];
}

interface Server {
  url: string;
  /** Until it listened. */
  ms: number;
  process: ChildProcess;
  stop: () => Promise<void>;
}

/** Starts `label` as a user would, which embeds what is not embedded yet. */
async function startServer(folder: string): Promise<Server> {
  const start = performance.now();
  const options = ['--store', join(folder, 'store'), '--model', join(folder, 'small.onnx')];
  const files = ['--out', join(folder, 'labels.csv'), '--head', join(folder, 'head.safetensors')];
  const args = ['label', join(folder, 'pictures.csv'), ...options, ...files, '--port', '0', '--json'];
  const child = spawn(process.execPath, [COMMAND_LINE, ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  const line = await Promise.race([once(createInterface(child.stdout), 'line'), ended.then(() => undefined)]);
  if (!line) throw new LastlayerError('The server did not start.');
  const { url } = JSON.parse(String(line[0])) as { url: string };
  return {
    url,
    ms: performance.now() - start,
    process: child,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function measurePage(browser: Browser, server: Server): Promise<void> {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  const start = performance.now();
  await page.goto(server.url);
  const isThere = `(document.querySelector('.cell img')?.naturalWidth ?? 0) > 0`;
  while (!(await page.evaluate(isThere))) await page.waitForTimeout(10);
  console.log(`the page shows pictures after ${seconds(performance.now() - start)}`);
  // The classifier has learnt, and its suggestions are there.
  await page.locator('.suggestion .certainty').first().waitFor({ timeout: 600_000 });
  await page.waitForTimeout(2000);

  const client = await page.context().newCDPSession(page);
  for (const [how, delta] of [
    ['slowly', 40],
    ['a screen in half a second', 400],
    ['as fast as it goes', 4000],
  ] as const) {
    const events = await trace(client, () => scroll(page, delta));
    const { frames, tasks } = pageWork(events);
    const [longFrames, longTasks] = [frames, tasks].map((all) => all.filter((ms) => ms > LONG_MS).length);
    console.log(
      `scrolled ${how}: ${frames.length} frames, ${longFrames} of them over ${LONG_MS} ms, the longest ${largest(frames)}; ` +
        `${longTasks} tasks took more than ${LONG_MS} ms of the processor, at most ${largest(tasks)}`,
    );
  }
  await client.send('HeapProfiler.collectGarbage');
  await client.send('Performance.enable');
  const { metrics } = await client.send('Performance.getMetrics');
  const heap = metrics.find(({ name }) => name === 'JSHeapUsedSize')?.value ?? NaN;
  const nodes = metrics.find(({ name }) => name === 'Nodes')?.value ?? NaN;
  console.log(`page: ${mebibytes(heap)} of objects, ${nodes} nodes`);
  console.log(`server: ${mebibytes(await residentBytes(server.process.pid ?? 0))} resident`);
}

/** Turns the wheel over the grid, down and up again. */
async function scroll(page: Page, delta: number): Promise<void> {
  await page.mouse.move(700, 450);
  for (const sign of [1, -1]) {
    const end = performance.now() + SCROLL_MS / 2;
    while (performance.now() < end) {
      await page.mouse.wheel(0, sign * delta);
      await page.waitForTimeout(16);
    }
  }
}

/** What the browser traces meanwhile. */
async function trace(client: CDPSession, work: () => Promise<void>): Promise<TraceEvent[]> {
  const events: TraceEvent[] = [];
  const collect = ({ value }: { value: object[] }) => events.push(...(value as TraceEvent[]));
  client.on('Tracing.dataCollected', collect);
  const categories = 'toplevel,devtools.timeline,disabled-by-default-devtools.timeline,__metadata';
  await client.send('Tracing.start', { categories, transferMode: 'ReportEvents' });
  await work();
  const complete = new Promise((resolve) => client.once('Tracing.tracingComplete', resolve));
  await client.send('Tracing.end');
  await complete;
  client.off('Tracing.dataCollected', collect);
  return events;
}

/** On Linux; NaN elsewhere. */
async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? NaN);
}

function largest(values: readonly number[]): string {
  return `${values.reduce((most, value) => Math.max(most, value), 0).toFixed(0)} ms`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function mebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
