import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { lastlayer, lastlayerProcess } from '../support/command-line.js';
import { describeWith, ROOT, stripedDataset, stripes, temporaryFolder } from '../support/files.js';
import { listen } from '../support/object-store.js';
import { smallNetwork } from '../support/small-network.js';
import { storedRows } from '../support/store.js';

const folder = await temporaryFolder();
const model = join(folder, 'small.onnx');
await writeFile(model, smallNetwork());

interface Result {
  total: number;
  embedded: number;
  /** Taken from the store: files that did not change, and pictures of servers, which are known by their content. */
  unchanged: number;
  reused: number;
}

/** Longer than rows wait to be written. */
const PAUSE_MS = 2_200;

const servers: Server[] = [];

afterAll(() => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }
});

/** Pictures before each one that the server holds back. */
const BETWEEN = 20;

/**
 * A manifest of pictures, two of which come from a server. At first it answers the one late, so that the rows before it are written,
 * and the other not at all, so that there is time to interrupt.
 */
async function heldDataset(name: string, pictures: readonly string[]) {
  const [early = '', late = '', ...others] = pictures;
  let isHeld = true;
  const server = createServer(({ url }, response) => {
    const isLate = url === '/late';
    const answer = async () => {
      if (isHeld) await (isLate ? once(server, 'release') : delay(PAUSE_MS));
      response.end(await readFile(isLate ? late : early));
    };
    answer().catch(() => response.destroy());
  });
  servers.push(server);
  const address = await listen(server);
  const rows = [...others];
  rows.splice(BETWEEN, 0, `${address}/early`);
  rows.splice(2 * BETWEEN, 0, `${address}/late`);
  const dataset = join(folder, `${name}.csv`);
  await writeFile(dataset, ['path', ...rows].join('\n'));
  return {
    dataset,
    count: rows.length,
    /** Has every picture answered at once from now on. */
    release: () => {
      isHeld = false;
      server.emit('release');
    },
  };
}

/** In a process of its own, picture by picture. */
function embedSlowly(dataset: string, store: string, ...options: string[]) {
  const slowly = ['--batch-size', '2', '--concurrency', '1'];
  return lastlayerProcess(['embed', dataset, '--store', store, '--json', ...options, ...slowly], folder);
}

async function embed(dataset: string, store: string, ...options: string[]): Promise<Result> {
  const { stdout } = await lastlayer(['embed', dataset, '--store', store, '--json', ...options], folder);
  return JSON.parse(stdout) as Result;
}

/** Waits until the first rows can be read. */
async function untilRowsAppear(store: string): Promise<void> {
  const count = () =>
    storedRows(store).then(
      (rows) => rows.length,
      () => 0,
    );
  while ((await count()) === 0) await delay(100);
}

/** Kills an embedding once it has written something, runs it again, and compares with one that was left alone. */
async function killAndRerun(name: string, pictures: readonly string[], options: string[]): Promise<void> {
  const { dataset, count, release } = await heldDataset(name, pictures);
  const store = join(folder, `killed-${name}`);
  const { process: child, outcome } = embedSlowly(dataset, store, ...options);
  await untilRowsAppear(store);
  child.kill('SIGKILL');
  expect((await outcome).signal).toBe('SIGKILL');
  release();

  const again = await embed(dataset, store, ...options);
  expect(again.total).toBe(count);
  expect(again.unchanged).toBeGreaterThan(0);
  expect(again.unchanged).toBeLessThan(count);
  expect(again.unchanged + again.reused + again.embedded).toBe(count);
  const whole = join(folder, `whole-${name}`);
  await embed(dataset, whole, ...options);
  const rows = await storedRows(store);
  expect(rows).toHaveLength(count);
  expect(new Set(rows.map(({ path }) => path)).size).toBe(count);
  expect(rows).toEqual(await storedRows(whole));
}

describe('embed', () => {
  let pictures: string[] = [];

  beforeAll(async () => {
    pictures = await stripedDataset(join(folder, 'data'), { train: { flat: 30, steep: 30 } });
  });

  it('that is killed goes on where it was, with one row a file', async () => {
    await killAndRerun('drawn', pictures, ['--model', model]);
  });

  it('that is interrupted keeps what is done, says so, and exits with 130', async () => {
    const { dataset, count, release } = await heldDataset('held', pictures);
    const store = join(folder, 'interrupted');
    const { process: child, outcome } = embedSlowly(dataset, store, '--model', model);
    await untilRowsAppear(store);
    child.kill('SIGINT');
    const { code, stdout, stderr } = await outcome;
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
    const kept = Number(new RegExp(`has (\\d+) of ${count} pictures`).exec(stderr)?.[1]);
    expect(kept).toBeGreaterThan(0);
    expect(await storedRows(store)).toHaveLength(kept);
    release();
    const again = await embed(dataset, store, '--model', model);
    expect(again).toMatchObject({ total: count, embedded: count - kept });
    expect(again.unchanged + again.reused).toBe(kept);
  });
});

/** An SVG of 9 million pixels that are to be made 9,000 times, far longer than any picture may take. */
function endlessSvg(): string {
  const noise = '<feTurbulence baseFrequency="0.1" numOctaves="8"/>'.repeat(9000);
  const filter = `<filter id="f" x="0" y="0" width="1" height="1">${noise}</filter>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="3000" height="3000">${filter}<rect width="3000" height="3000" filter="url(#f)"/></svg>`;
}

/** The process that decodes for another one, once it is there. */
async function decoderOf(pid: number): Promise<number> {
  const command = promisify(execFile);
  for (;;) {
    const found = await command('pgrep', ['-P', String(pid), '-f', 'isolated-process']).catch(() => undefined);
    if (found) return Number(found.stdout);
    await delay(50);
  }
}

/** Whether a process is at work: one that has ended and was not yet waited for is none. */
async function isAtWork(pid: number): Promise<boolean> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'stat=', '-p', String(pid)]).catch(() => ({
    stdout: '',
  }));
  return stdout !== '' && !stdout.startsWith('Z');
}

describe('a picture that takes forever', () => {
  it('is not waited for when embed is interrupted, and its decoder ends with it', async () => {
    const pictures = join(folder, 'forever');
    await mkdir(pictures);
    const names = Array.from({ length: 40 }, (_, i) => `${i}.png`);
    for (const [i, name] of names.entries()) await writeFile(join(pictures, name), await stripes(0, i));
    await writeFile(join(pictures, 'endless.svg'), endlessSvg());
    const manifest = join(pictures, 'all.csv');
    await writeFile(manifest, ['path', ...names, 'endless.svg'].join('\n'));

    const store = join(folder, 'forever-store');
    // One by one, so that the others are embedded by the time that it is decoded.
    const one = ['--batch-size', '1', '--concurrency', '1', '--threads', '1'];
    const args = ['embed', manifest, '--store', store, '--model', model, '--json', ...one];
    const { process: child, outcome } = lastlayerProcess(args, folder, {}, true);
    const { pid = 0 } = child;
    const decoder = await decoderOf(pid);
    // As a terminal does on Ctrl-C.
    process.kill(-pid, 'SIGINT');
    const { code, stdout, stderr } = await outcome;
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
    while (await isAtWork(decoder)) await delay(50);
    const kept = Number(/has (\d+) of 41 pictures/.exec(stderr)?.[1]);
    expect(kept).toBeGreaterThan(0);
    const rows = await storedRows(store);
    expect(rows).toHaveLength(kept);
    expect(rows.filter(({ error }) => error !== null)).toEqual([]);
  });
});

describeWith('data/hymenoptera', 'embed of photographs', (photographs) => {
  it('that is killed goes on where it was, with one row a file', async () => {
    const ants = join(photographs, 'val', 'ants');
    const pictures = readdirSync(ants).map((name) => join(ants, name));
    await killAndRerun('photographs', pictures, ['--threads', '1']);
  });
});

describe('a pipe that is closed early', () => {
  it('ends predict without a complaint', async () => {
    await lastlayer(['embed', '--store', 'examples', '--model', model], folder);
    await lastlayer(['train-head', '--store', 'examples'], folder);
    const pictures = join(ROOT, 'test', 'fixtures', 'examples', 'train', 'fish');
    const { process: child, outcome } = lastlayerProcess(['predict', pictures, '--model', model], folder);
    child.stdout?.destroy();
    const { code, stderr } = await outcome;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});
