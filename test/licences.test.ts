import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT, temporaryFolder } from './support/files.js';

const folder = await temporaryFolder();

function licences(...args: string[]) {
  const tsx = `file://${join(ROOT, 'node_modules', 'tsx', 'dist', 'loader.mjs')}`;
  const script = join(ROOT, 'scripts', 'licences.ts');
  const env = { ...process.env, NODE_OPTIONS: '' };
  return spawnSync(process.execPath, ['--import', tsx, script, ...args], { encoding: 'utf8', env });
}

describe('the packages that are installed with this one', () => {
  it('have licences that are compatible with MIT, and no install script but those that are known', () => {
    const { status, stdout, stderr } = licences();
    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^MIT: \d+ \(.*\bfastify\b/m);
    // It is in a page.
    expect(stdout).toMatch(/^MIT: \d+ \(.*\bpreact\b/m);
    expect(stdout.match(/^install script: .*/gm)).toEqual([
      expect.stringMatching(/^install script: msgpackr-extract \(builds a faster reader/),
      expect.stringMatching(/^install script: onnxruntime-node \(downloads CUDA/),
    ]);
  });

  it('are refused by name where their licence or script is none of those', async () => {
    const packages = {
      '': { license: 'MIT' },
      'node_modules/copyleft': { license: 'MIT AND GPL-3.0-only' },
      'node_modules/either': { license: '(MIT OR GPL-3.0-only)' },
      'node_modules/nameless': {},
      'node_modules/library': { license: 'LGPL-3.0-or-later' },
      'node_modules/runs': { license: 'ISC', hasInstallScript: true },
      'node_modules/tool': { license: 'GPL-3.0-only', dev: true },
    };
    const lock = join(folder, 'package-lock.json');
    await writeFile(lock, JSON.stringify({ packages }));
    const { status, stderr } = licences('--lock', lock);
    expect(status).toBe(1);
    const refused = [...stderr.matchAll(/^REFUSED: (\S+)/gm)].map(([, name]) => name);
    expect(refused.sort()).toEqual(['copyleft', 'library', 'nameless', 'runs']);
  });
});
