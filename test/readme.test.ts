import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cp, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { COMMANDS } from '../src/cli/commands.js';
import { ROOT, temporaryFolder } from './support/files.js';

const clone = await temporaryFolder();
const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
const scripts = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: object }).scripts;

/** The examples in code, in order. */
const examples = codeIn(readme);

describe('the README', () => {
  beforeAll(async () => {
    for (const name of ['package.json', 'tsconfig.json', 'src', 'models', 'test/fixtures']) {
      await cp(join(ROOT, name), join(clone, name), { recursive: true });
    }
    await symlink(join(ROOT, 'node_modules'), join(clone, 'node_modules'));
    const pictures = join(ROOT, 'test', 'fixtures', 'examples');
    await cp(pictures, join(clone, 'photos'), { recursive: true });
    for (const name of ['new.jpg', 'ant.jpg', 'bee.jpg']) {
      await cp(join(pictures, 'val', 'fish', 'fish-01.jpg'), join(clone, name));
    }
    for (const name of ['more-photos', 'photos-2024', 'photos-2025']) {
      await cp(join(pictures, 'val', 'flower'), join(clone, name), { recursive: true });
    }
  });

  it('begins with three lines that run as they stand', async () => {
    expect(/```\w+/.exec(readme)?.[0]).toBe('```ts');
    const { status, stdout, stderr } = await runExample(examples[0] ?? '');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(
      /label: '(butterfly|fish|flower|mushroom)',\s+probability: [\d.]+,\s+typicality: [\d.]+,\s+unknown: /,
    );
    expect(stdout.match(/\/more-photos\/flower-\d\d\.jpg (butterfly|fish|flower|mushroom)\n/g)).toHaveLength(10);
  });

  it('has an example of the parts that runs as it stands', async () => {
    const { status, stdout, stderr } = await runExample(examples[1] ?? '');
    expect({ status, stderr }).toEqual({
      status: 0,
      stderr: expect.stringMatching(/^The features are the bundled ones/) as unknown,
    });
    expect(stdout).toMatch(/^50 of 136\n100 of 136\nvalidation accuracy 0\.\d+\n/);
    expect(stdout).toMatch(/label: '(butterfly|fish|flower|mushroom)'/);
    expect(examples).toHaveLength(2);
  });

  // They use the head and the store that the README's examples make.
  describe.each(['api', 'predicting'])('docs/%s.md', (page) => {
    it.each(codeIn(readFileSync(join(ROOT, 'docs', `${page}.md`), 'utf8')))(
      'has an example that runs: %#',
      async (code) => {
        // A server would go on, and its port may be taken.
        const ending = code.includes('startServer') ? "process.kill(process.pid, 'SIGTERM');" : '';
        const { status, stderr } = await runExample(code.replace('8080', '0') + ending);
        expect({ status, stderr }).toEqual({ status: 0, stderr: expect.not.stringContaining('Error') as unknown });
      },
    );
  });

  it('names no command that is not there, and every one that is for users', () => {
    const named = new Set([...readme.matchAll(/npm run ([\w-]+)/g)].map(([, name]) => name));
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining([...named]));
    for (const { name } of COMMANDS) expect(readme).toMatch(new RegExp(`(npm run|lastlayer) ${name}\\b`));
  });
});

it('.ci/run runs the README’s quick start', () => {
  const quickStart = [...readme.matchAll(/```sh\n(npm ci && .*)\n```/g)].map(([, command]) => command ?? '');
  expect(quickStart).toHaveLength(2);
  const ci = readFileSync(join(ROOT, '.ci', 'run'), 'utf8');
  expect(ci).toContain(quickStart[0]);
  expect(ci).toContain('npm test');
});

async function runExample(code: string): Promise<{ status: number | null; stdout: string; stderr: string }> {
  await writeFile(join(clone, 'example.ts'), code);
  return spawnSync(process.execPath, ['--import', 'tsx', 'example.ts'], {
    cwd: clone,
    env: { ...process.env, NODE_OPTIONS: '', NO_COLOR: '1' },
    encoding: 'utf8',
  });
}

function codeIn(page: string): string[] {
  return [...page.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code ?? '');
}
