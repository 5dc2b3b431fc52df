import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pageFile } from '../src/util/page-files.js';
import { existingPath, ROOT, run, script } from './support/script.js';

/** At most, these ask to keep their notice. */
const PERMISSIVE = new Set(
  'MIT ISC BSD-2-Clause BSD-3-Clause Apache-2.0 0BSD Unlicense CC0-1.0 BlueOak-1.0.0 Python-2.0'.split(' '),
);

/** libvips and libheif: libraries in files and packages of their own, which anyone can replace, as the licence demands. */
const LIBRARIES = { licence: /^LGPL-3\.0(-or-later)?$/, packages: /^(@img\/sharp-.*|libheif-js)$/ };

/** Licences of packages that do not have them where npm looks. */
const ELSEWHERE: Record<string, string> = {
  'json-bignum': 'MIT', // `licenses` in its package.json, and LICENSE
};

/** What the known install scripts do. None is run here (see .npmrc), and none is needed. */
const SCRIPTS: Record<string, string> = {
  'msgpackr-extract': 'builds a faster reader for BullMQ if none is prebuilt; msgpackr works without it',
  'onnxruntime-node': 'downloads CUDA libraries on Linux x64; the CPU needs none of them',
};

interface Locked {
  license?: string;
  dev?: boolean;
  devOptional?: boolean;
  hasInstallScript?: boolean;
}

export const command = script(
  'licences',
  'List the licences of all packages that are installed with lastlayer or are in its pages, and those with an install script. ' +
    'The exit code is 1 if a licence is not allowed, or an install script not known.',
  [''],
)
  .option('--lock <file>', 'lock file to read', existingPath, join(ROOT, 'package-lock.json'))
  .action(licences);
await run(import.meta.url, command);

async function licences({ lock }: { lock: string }): Promise<void> {
  const { packages } = JSON.parse(await readFile(lock, 'utf8')) as { packages: Record<string, Locked> };
  const bundled = await packagesInPages();
  const shipped = Object.entries(packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && ((!dev && !devOptional) || bundled.has(path)))
    .map(([path, locked]) => ({ name: path.replace(/^.*node_modules\//, ''), ...locked }));

  const byLicence = new Map<string, Set<string>>();
  for (const { name, license = ELSEWHERE[name] ?? 'none' } of shipped) {
    byLicence.set(license, (byLicence.get(license) ?? new Set()).add(name));
  }
  for (const [licence, names] of [...byLicence].sort(([, a], [, b]) => b.size - a.size)) {
    console.log(`${licence}: ${names.size} (${[...names].sort().join(', ')})`);
    for (const name of names) if (!isAllowed(licence, name)) refuse(`${name} has the licence ${licence}`);
  }
  for (const { name, hasInstallScript } of shipped) {
    if (!hasInstallScript) continue;
    console.log(`install script: ${name} (${SCRIPTS[name] ?? 'unknown'})`);
    if (!Object.hasOwn(SCRIPTS, name)) refuse(`${name} wants to run a script when it is installed`);
  }
}

/** Where the packages lie that are in the bundles of the pages; each has its notice there. */
async function packagesInPages(): Promise<Set<string>> {
  const pages = (await readdir(join(ROOT, 'src', 'browser'), { withFileTypes: true })).filter((one) =>
    one.isDirectory(),
  );
  const bundles = await Promise.all(pages.map(({ name }) => pageFile(`${name}/page.js`)));
  const names = bundles.flatMap((text) => [...text.matchAll(/^\/\*! (\S+) \d/gm)].map(([, name]) => name!));
  return new Set(names.map((name) => `node_modules/${name}`));
}

/** Whether an SPDX expression is allowed: every operand of AND must be, and one operand of OR. */
function isAllowed(licence: string, name: string): boolean {
  const isOne = (one: string) => PERMISSIVE.has(one) || (LIBRARIES.licence.test(one) && LIBRARIES.packages.test(name));
  const plain = licence.replace(/[()]/g, '');
  return plain.split(' AND ').every((part) => part.split(' OR ').some(isOne));
}

function refuse(what: string): void {
  process.stderr.write(`REFUSED: ${what}, which scripts/licences.ts does not allow.\n`);
  process.exitCode = 1;
}
