import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { copyFile, cp, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import semver from 'semver';
import { COMMANDS } from '../src/cli/commands.js';
import { CHROMIUM, describeWithBrowser } from './support/browser.js';
import { ROOT, stripedDataset, temporaryFolder } from './support/files.js';

interface Manifest {
  version: string;
  engines: { node: string };
  overrides?: unknown;
  dependencies: Record<string, string>;
}

interface Lock {
  packages: Record<string, { dev?: true; optional?: true; engines?: { node?: string } }>;
}

interface Packed {
  filename: string;
  size: number;
  files: { path: string }[];
}

interface Run {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** The backbone that ships with the package, and its card. */
const BUNDLED = ['LICENSE', 'json', 'onnx'].map((ending) => `models/resnet18-bundled.int8.${ending}`);

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;
const threeLines = /```ts\n(.*?)```/s.exec(readFileSync(join(ROOT, 'README.md'), 'utf8'))?.[1] ?? '';
const clone = await temporaryFolder();
const project = await temporaryFolder();
const modules = join(project, 'node_modules');
const environment = { ...process.env, NODE_OPTIONS: '', NO_COLOR: '1' };

const packed = await pack();
await install();
await stripedDataset(join(project, 'photos'), { train: { flat: 6, steep: 6 }, val: { flat: 3, steep: 3 } });

describe('the package', () => {
  it('installs with --engine-strict on the oldest Node that it promises', () => {
    const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as Lock;
    const refusing = Object.entries(lock.packages).filter(
      ([path, { dev, optional, engines }]) =>
        path !== '' && !dev && !optional && !semver.subset(manifest.engines.node, engines?.node ?? '*'),
    );
    expect(refusing.map(([path]) => path)).toEqual([]);
    // npm does not apply them where the package is installed, so what is locked here would not be what is installed there.
    expect(manifest.overrides).toBeUndefined();
  });

  it('is small, and holds what is built and what to read', () => {
    // The bundled backbone is 11 MB of it.
    expect(packed.size).toBeLessThan(12_000_000);
    const others = packed.files.map(({ path }) => path).filter((path) => !path.startsWith('dist/'));
    expect(others).toEqual(
      expect.arrayContaining([...BUNDLED, 'CHANGELOG.md', 'LICENSE', 'README.md', 'docs/backbones.md', 'package.json']),
    );
    expect(others.filter((path) => path.endsWith('.onnx'))).toHaveLength(1);
    const endings = new Set(packed.files.map(({ path }) => /\.[a-z.]+$/.exec(path)?.[0] ?? path));
    for (const ending of ['.ts', '.jpg', '.map', '.tgz']) expect(endings).not.toContain(ending);
    // The pages are bundled: esbuild is no dependency.
    const pages = packed.files.map(({ path }) => path).filter((path) => path.startsWith('dist/browser/'));
    expect(pages.sort()).toEqual([
      'dist/browser/label/icon.svg',
      'dist/browser/label/page.css',
      'dist/browser/label/page.html',
      'dist/browser/label/page.js',
      'dist/browser/report/page.css',
      'dist/browser/report/page.js',
      'dist/browser/server/icon.svg',
      'dist/browser/server/page.css',
      'dist/browser/server/page.html',
      'dist/browser/server/page.js',
    ]);
  });
});

describe('an installed package', () => {
  it('has the command line, which tells commands as they are called there', () => {
    expect(run('lastlayer', '--version')).toEqual({ status: 0, stdout: `${manifest.version}\n`, stderr: '' });
    const help = run('lastlayer', 'embed', '--help').stdout;
    expect(help).toContain('npx lastlayer embed ~/photos ');
    expect(help).not.toContain('npm run');
    expect(run('lastlayer', 'train-head', '--store', 'nothing')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('Run `npx lastlayer embed DATASET` first') as unknown,
    });
  });

  it('takes a folder of pictures to predictions and a report', () => {
    const embedded = run('lastlayer', 'embed', 'photos');
    expect(embedded).toMatchObject({ status: 0, stdout: expect.stringMatching(/18 embedded/) as unknown });
    expect(embedded.stderr).toContain('`npx lastlayer fetch-model` gets the ImageNet ones');
    expect(run('lastlayer', 'train-head')).toMatchObject({ status: 0 });
    const predicted = run('lastlayer', 'predict', 'photos/val/flat/0.png', '--json');
    expect(JSON.parse(predicted.stdout)).toMatchObject({
      predictions: [{ path: expect.any(String) as unknown }],
    });
    expect(run('lastlayer', 'report', '--out', 'report.html')).toMatchObject({ status: 0 });
    const report = readFileSync(join(project, 'report.html'), 'utf8');
    expect(report).toMatch(new RegExp(`lastlayer ${manifest.version}, onnxruntime \\d+\\.\\d+`));
    expect(report).toContain('npx lastlayer check-data --out FILE.csv');
  });

  it('asks for a data set, as the example pictures are not in it', () => {
    for (const command of ['embed', 'evaluate', 'quantize']) {
      expect(run('lastlayer', command)).toMatchObject({
        status: 2,
        stdout: '',
        stderr: expect.stringMatching(`No data set is named.*npx lastlayer ${command} `) as unknown,
      });
    }
  });

  it('is imported by an ES module', async () => {
    await writeFile(
      join(project, 'app.mjs'),
      `import { LastlayerError } from 'lastlayer';
       import { loadBackbone } from 'lastlayer/backbone';
       import { embedImages } from 'lastlayer/classify';
       const backbone = await loadBackbone();
       const embedding = await embedImages(backbone, ['photos/val/flat/0.png']);
       console.log(embedding.length, new LastlayerError('x') instanceof Error);`,
    );
    expect(run('node', 'app.mjs')).toEqual({ status: 0, stdout: '512 true\n', stderr: '' });
  });

  it('trains and predicts in three lines, in an ES module and in CommonJS', async () => {
    const lines = `
      const classifier = await train('photos', { out: 'stripes.safetensors' });
      const [best] = await classifier.predict('photos/val/flat/0.png');
      const found = [];
      for await (const { path, label } of (await load('stripes.safetensors')).predictAll('photos/val')) found.push(path + ' ' + label);
      console.log(classifier.evaluation.count, best.label, best.unknown, found.length, found[0]);`;
    await writeFile(join(project, 'three.mjs'), `import { train, load } from 'lastlayer';${lines}`);
    // Node 20.19 and 22.12 require ES modules.
    await writeFile(
      join(project, 'three.cjs'),
      `const { train, load } = require('lastlayer'); (async () => {${lines}})();`,
    );
    for (const file of ['three.mjs', 'three.cjs']) {
      const { status, stdout, stderr } = run('node', '--disable-warning=ExperimentalWarning', file);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(stdout).toMatch(/^6 (flat|steep) (true|false) 6 \S+flat\S0\.png (flat|steep)\n$/);
    }
  });

  it('runs the README’s three lines as they stand', async () => {
    await copyFile(join(project, 'photos', 'val', 'flat', '0.png'), join(project, 'new.jpg'));
    await cp(join(project, 'photos', 'val', 'steep'), join(project, 'more-photos'), { recursive: true });
    await writeFile(join(project, 'readme.mjs'), threeLines);
    const { status, stdout, stderr } = run('node', 'readme.mjs');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/label: '(flat|steep)'/);
    expect(stdout.match(/\/more-photos\/\d\.png (flat|steep)\n/g)).toHaveLength(3);
  });

  it('has a subpath for each folder of use, for ES modules and for CommonJS', async () => {
    const names = (await readdir(join(modules, 'lastlayer', 'dist', 'exports')))
      .filter((name) => name.endsWith('.js'))
      .map((name) => `lastlayer/${name.slice(0, -'.js'.length)}`);
    expect(names).toEqual(expect.arrayContaining(['lastlayer/head', 'lastlayer/store', 'lastlayer/server']));
    const list = JSON.stringify(names);
    await writeFile(
      join(project, 'paths.mjs'),
      `for (const name of ${list}) if (Object.keys(await import(name)).length === 0) console.log(name);`,
    );
    await writeFile(
      join(project, 'paths.cjs'),
      `for (const name of ${list}) if (Object.keys(require(name)).length === 0) console.log(name);`,
    );
    for (const file of ['paths.mjs', 'paths.cjs']) {
      expect(run('node', '--disable-warning=ExperimentalWarning', file)).toEqual({ status: 0, stdout: '', stderr: '' });
    }
  });

  it('loads no package that it does not need yet', async () => {
    await writeFile(join(project, 'root.mjs'), `import { train } from 'lastlayer'; console.log(typeof train);`);
    expect(loadedPackages('root.mjs')).toEqual(['lastlayer']);
    const light = ['ansi-', 'cli-progress', 'commander', 'emoji-regex', 'get-east-asian-width', 'is-fullwidth-'];
    const isLight = (name: string) =>
      [...light, 'lastlayer', 'string-width', 'strip-ansi', 'wrap-ansi'].some((start) => name.startsWith(start));
    for (const { name } of COMMANDS) {
      const loaded = loadedPackages(join(modules, '.bin', 'lastlayer'), name, '--help');
      expect({ name, heavy: loaded.filter((each) => !isLight(each)) }).toEqual({ name, heavy: [] });
    }
    const predicted = loadedPackages(join(modules, '.bin', 'lastlayer'), 'predict', 'photos/val/flat/0.png');
    expect(predicted).toEqual(expect.arrayContaining(['onnxruntime-node', 'sharp']));
    for (const name of ['@lancedb/lancedb', 'apache-arrow', 'hyparquet', 'fastify', '@observablehq/plot', 'bullmq']) {
      expect(predicted).not.toContain(name);
    }
  });

  it('tells nobody what it runs: onnxruntime’s telemetry is off, which keeps an id of the machine in the home folder', async () => {
    const home = join(project, 'home');
    await mkdir(home);
    // Nothing else of the environment, as onnxruntime is silent by itself in CI.
    const env = { PATH: process.env.PATH, HOME: home };
    const args = [join(modules, '.bin', 'lastlayer'), 'predict', 'photos/val/flat/0.png'];
    const { status } = spawnSync(process.execPath, args, { cwd: project, env, encoding: 'utf8' });
    expect(status).toBe(0);
    expect(await readdir(home)).toEqual([]);
  });

  it('is imported by a CommonJS module', async () => {
    await writeFile(
      join(project, 'app.cjs'),
      `import('lastlayer/head').then(async ({ loadHead }) => {
         console.log((await loadHead('head.safetensors')).labels.join());
       });`,
    );
    expect(run('node', 'app.cjs')).toEqual({ status: 0, stdout: 'flat,steep\n', stderr: '' });
  });

  it.each(['node16', 'nodenext', 'bundler'])('type-checks where modules are resolved as by %s', async (resolution) => {
    await writeFile(join(project, 'readme.ts'), threeLines);
    await writeFile(
      join(project, 'common.cts'),
      `${resolution === 'nodenext' ? "import { load } from 'lastlayer'; export const loaded = load('bees.safetensors');" : ''}
       export async function best(path: string): Promise<string | undefined> {
         const { load } = await import('lastlayer');
         return (await (await load('bees.safetensors')).predict(path))[0]?.label;
       }`,
    );
    await writeFile(
      join(project, 'app.ts'),
      `import { createReadStream } from 'node:fs';
       import { load, train, LastlayerError, type Classifier } from 'lastlayer';
       import { loadBackbone } from 'lastlayer/backbone';
       import { Classifier as Both } from 'lastlayer/classify';
       import { openDataset } from 'lastlayer/data';
       import { embedDataset } from 'lastlayer/embed';
       import { exportOnnx } from 'lastlayer/export';
       import type { Head, Prediction } from 'lastlayer/head';
       import { makeReport } from 'lastlayer/report';
       import { startServer } from 'lastlayer/server';
       import { EmbeddingStore } from 'lastlayer/store';
       export async function classify(path: string, head: Head): Promise<Prediction[]> {
         const backbone = await loadBackbone({ modelsDir: 'models' });
         await embedDataset('photos', { backbone });
         return new Both(backbone, head).predict(path, { topK: 2 });
       }
       export async function three(): Promise<string | undefined> {
         await using classifier: Classifier = await train('photos', { out: 'bees.safetensors', signal: AbortSignal.timeout(9) });
         const accuracy: number | null = classifier.evaluation?.kind === 'softmax' ? classifier.evaluation.accuracy : null;
         const again = await load('bees.safetensors', { unknown: 'off' });
         for await (const found of again.predictAll('more-photos/')) {
           const path: string = found.path;
           if (found.error === undefined) console.log(path, found.label.length, found.unknown, accuracy);
         }
         for await (const { image } of again.predictAll([new Blob([]), createReadStream('a.jpg')])) console.log(image);
         const [best] = await again.predict(new URL('https://example.org/new.jpg'));
         return best?.label;
       }
       export const codes = (error: unknown) => error instanceof LastlayerError && error.code === 'HEAD_NOT_FOUND';
       export const rest = [openDataset, exportOnnx, makeReport, startServer, EmbeddingStore];
       // @ts-expect-error a number is no path
       export const wrong = loadBackbone({ model: 3 });`,
    );
    const configuration = {
      compilerOptions: {
        module: resolution === 'bundler' ? 'esnext' : resolution,
        moduleResolution: resolution,
        target: 'es2022',
        types: ['node'],
        // What TypeScript brings itself is right.
        skipDefaultLibCheck: true,
        strict: true,
        noEmit: true,
      },
      files: ['app.ts', 'readme.ts', 'common.cts'],
    };
    await writeFile(join(project, 'package.json'), JSON.stringify({ type: 'module' }));
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify(configuration));
    const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    expect(run('node', compiler)).toEqual({ status: 0, stdout: '', stderr: '' });
  });
});

describeWithBrowser('the report that it made', () => {
  it('shows the pictures behind a cell', async () => {
    const browser = await chromium.launch({ executablePath: CHROMIUM ?? '', args: ['--no-sandbox'] });
    const page = await browser.newPage();
    await page.goto(pathToFileURL(join(project, 'report.html')).href);
    await page.locator('button[data-cell]').first().click();
    expect(await page.locator('#cell img').count()).toBe(3);
    expect(await page.evaluate('getComputedStyle(document.querySelector(".side")).position')).toBe('sticky');
    await browser.close();
  });
});

/** Builds and packs the package in a copy of the clone, so that the clone stays as it is. */
async function pack(): Promise<Packed> {
  const files = [
    'package.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'LICENSE',
    'CHANGELOG.md',
    'README.md',
    'docs',
    'src',
    'models/README.md',
    ...BUNDLED,
  ];
  for (const name of [...files, 'scripts/build.ts']) {
    await cp(join(ROOT, name), join(clone, name), { recursive: true });
  }
  await symlink(join(ROOT, 'node_modules'), join(clone, 'node_modules'));
  // prepack, which npm runs first, builds it.
  const output = execFileSync('npm', ['pack', '--json', '--ignore-scripts=false', '--offline'], {
    cwd: clone,
    env: environment,
    encoding: 'utf8',
  });
  const [first] = JSON.parse(output.slice(output.indexOf('[\n'))) as Packed[];
  if (!first) throw new Error(`npm pack gives ${output}`);
  return first;
}

/** As `npm install` does it, but offline: the tarball is unpacked, and what it depends on, no more, is linked in. */
async function install(): Promise<void> {
  await mkdir(join(modules, '.bin'), { recursive: true });
  execFileSync('tar', ['-xzf', join(clone, packed.filename), '-C', modules]);
  execFileSync('mv', [join(modules, 'package'), join(modules, 'lastlayer')]);
  for (const name of [...Object.keys(manifest.dependencies), '@types/node']) {
    await mkdir(dirname(join(modules, name)), { recursive: true });
    await symlink(join(ROOT, 'node_modules', name), join(modules, name));
  }
  await symlink('../lastlayer/dist/bin.cjs', join(modules, '.bin', 'lastlayer'));
}

/** The packages of which a program of the project loads some file. */
function loadedPackages(...args: string[]): string[] {
  const hook = pathToFileURL(join(ROOT, 'test', 'support', 'loaded-packages.js')).href;
  const { status, stderr } = run('node', '--import', hook, ...args);
  expect(status).toBe(0);
  return JSON.parse(stderr.trimEnd().split('\n').at(-1) ?? '') as string[];
}

/** Runs a program in the project: node, or a command that a package brings. */
function run(program: string, ...args: string[]): Run {
  const file = program === 'node' ? process.execPath : join(modules, '.bin', program);
  const { status, stdout, stderr } = spawnSync(file, args, {
    cwd: project,
    env: environment,
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}
