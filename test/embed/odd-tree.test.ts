import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { Classifier } from '../../src/classify/classifier.js';
import { embedDataset } from '../../src/embed/embed.js';
import { lastlayer, lastlayerProcess } from '../support/command-line.js';
import { stripes, temporaryFolder } from '../support/files.js';
import { madeUpHead } from '../support/made-up-head.js';
import { smallNetwork } from '../support/small-network.js';
import { storedRows } from '../support/store.js';

const folder = await temporaryFolder();
const model = join(folder, 'small.onnx');
writeFileSync(model, smallNetwork());
const backbone = await loadBackbone({ model });

const data = join(folder, 'data');
const odd = join(data, 'odd');
mkdirSync(odd, { recursive: true });
mkdirSync(join(data, 'plain'));
let seed = 0;
const picture = () => stripes(0, ++seed);

const READABLE = [
  'new\nline.png',
  'cursor\u001b[2J.png',
  'right\u202eto left.png',
  '\ufffd.png',
  `${'n'.repeat(251)}.png`,
];

beforeAll(async () => {
  for (const name of READABLE) writeFileSync(join(odd, name), await picture());
  writeFileSync(join(data, 'plain', 'a.png'), await picture());
  const inOdd = (name: string) => Buffer.concat([Buffer.from(`${odd}/`), Buffer.from(name, 'latin1')]);
  writeFileSync(inOdd('bad\xff.png'), await picture());
  writeFileSync(inOdd('bad\xfe.png'), await picture());
  mkdirSync(inOdd('folder\xff'));
  execFileSync('mkfifo', [join(odd, 'pipe.png')]);
  symlinkSync('/dev/zero', join(odd, 'device.png'));
  symlinkSync('loop.png', join(odd, 'loop.png'));
  symlinkSync('.', join(odd, 'again'));
});

/** Folders in each other, below what a path can name. */
function makeDeep(start: string, levels: number): void {
  const before = process.cwd();
  process.chdir(start);
  for (let level = 0; level < levels; level++) {
    mkdirSync('deep-folder');
    process.chdir('deep-folder');
  }
  process.chdir(before);
}

const PROBLEMS: Record<string, RegExp> = {
  'bad\\xff.png': /not valid UTF-8.*rename/,
  'bad\\xfe.png': /not valid UTF-8.*rename/,
  'folder\\xff': /not valid UTF-8.*rename/,
  'pipe.png': /is not a regular file/,
  'device.png': /is not a regular file/,
  'loop.png': /ELOOP/,
};

describe('a tree of odd files', () => {
  beforeAll(() => {
    makeDeep(join(data, 'plain'), 400);
  });
  // By what Node cannot name, it cannot remove either.
  afterAll(() => {
    execFileSync('rm', ['-r', join(data, 'plain', 'deep-folder')]);
  });

  it('gives each a row, with an embedding or the reason, and comes to an end', async () => {
    const socket = createServer().listen(join(odd, 'socket.png'));
    const store = join(folder, 'store');
    // Besides, one plain picture; and the socket and the deep folders, which are a problem once.
    const [good, bad] = [READABLE.length + 1, Object.keys(PROBLEMS).length + 2];
    const summary = await embedDataset(data, { backbone, store });
    socket.close();
    expect(summary).toMatchObject({ total: good + bad, failed: bad });
    const rows = await storedRows(store);
    expect(rows).toHaveLength(good + bad);
    for (const [name, reason] of Object.entries(PROBLEMS)) {
      const errors = rows.filter(({ path }) => basename(path) === name).map(({ error }) => error);
      expect(errors).toEqual([expect.stringMatching(reason)]);
    }
    expect(rows.filter(({ error }) => error?.includes('ENAMETOOLONG'))).toHaveLength(1);
    for (const name of READABLE) {
      const found = rows.filter(({ path }) => basename(path) === name);
      expect(found.map(({ embedding }) => embedding?.length)).toEqual([8]);
    }
    // None of them is taken for a file that is gone, but for the socket, which is.
    expect(await embedDataset(data, { backbone, store })).toMatchObject({
      removed: 1,
      total: good + bad - 1,
    });
  });

  it('is listed by name, of which no control character reaches the terminal', async () => {
    const store = join(folder, 'store');
    const { code, stdout, stderr } = await lastlayerProcess(['embed', data, '--model', model, '--store', store], folder)
      .outcome;
    expect(code).toBe(3);
    expect(stderr).toContain(`${join(odd, 'bad\\xff.png')}: its name is not valid UTF-8`);
    const json = await lastlayer(['embed', data, '--model', model, '--store', store, '--json'], folder);
    const { errors } = JSON.parse(json.stdout) as { errors: { path: string }[] };
    expect(errors.map(({ path }) => basename(path))).toEqual(expect.arrayContaining(Object.keys(PROBLEMS)));
    expect(stdout + stderr + json.stdout).not.toMatch(/[^\P{Cc}\n\t]|\u202e/u);
  });
});

describe('a pipe', () => {
  it('is not waited for where a picture is expected', async () => {
    const classifier = new Classifier(backbone, madeUpHead(backbone));
    await expect(classifier.predict(join(odd, 'pipe.png'))).rejects.toThrow(
      /pipe\.png cannot be read: it is not a regular/,
    );
  });

  it('is not waited for where a network is expected', async () => {
    await expect(loadBackbone({ model: join(odd, 'pipe.png') })).rejects.toThrow(/it is not a regular file/);
  });
});

describe('names that act on a terminal', () => {
  it('are shown as what they are', async () => {
    const names = join(folder, 'names');
    mkdirSync(names);
    writeFileSync(join(names, 'a\u001b[31m\u001b[2J\n  b.png: fine.png'), 'no picture');
    const { code, stderr } = await lastlayerProcess(['embed', names, '--model', model], folder).outcome;
    expect(code).toBe(3);
    expect(stderr).toContain('a\\u001b[31m\\u001b[2J\\u000a  b.png: fine.png: ');
    expect(stderr).not.toContain('\u001b');
  });
});
