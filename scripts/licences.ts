/**
 * Lists the licences of every package that is installed with this one, and why any of them may run a script when it is
 * installed; exits with 1 where a licence is none of those that are allowed, or a script is unknown.
 *
 *     npm run licences [-- --lock package-lock.json]
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** They ask for their notice to be kept, at most. */
const PERMISSIVE = new Set(
  'MIT ISC BSD-2-Clause BSD-3-Clause Apache-2.0 0BSD Unlicense CC0-1.0 BlueOak-1.0.0 Python-2.0'.split(' '),
);

/** libvips and what it is made of: shared libraries in packages of their own, which anyone can replace, as the licence asks. */
const LIBRARIES = { licence: 'LGPL-3.0-or-later', packages: /^@img\/sharp-/ };

/** Packages that name their licence elsewhere than the lock file looks. */
const ELSEWHERE: Record<string, string> = {
  'json-bignum': 'MIT', // `licenses` in its package.json, and LICENSE
};

/** Packages with an install script, and what it does; none is run here (see .npmrc), and none is needed. */
const SCRIPTS: Record<string, string> = {
  'msgpackr-extract': 'builds a faster reader for BullMQ where none is prebuilt; msgpackr does without',
  'onnxruntime-node': 'downloads CUDA libraries on Linux x64; the processor needs none of them',
};

interface Locked {
  license?: string;
  dev?: boolean;
  devOptional?: boolean;
  hasInstallScript?: boolean;
}

const { values } = parseArgs({
  options: {
    lock: { type: 'string', default: fileURLToPath(new URL('../package-lock.json', import.meta.url)) },
  },
});
const { packages } = JSON.parse(await readFile(values.lock, 'utf8')) as { packages: Record<string, Locked> };
const shipped = Object.entries(packages)
  .filter(([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional)
  .map(([path, locked]) => ({ name: path.replace(/^.*node_modules\//, ''), ...locked }));

const byLicence = new Map<string, Set<string>>();
for (const { name, license = ELSEWHERE[name] ?? 'none' } of shipped) {
  byLicence.set(license, (byLicence.get(license) ?? new Set()).add(name));
}
for (const [licence, names] of [...byLicence].sort(([, a], [, b]) => b.size - a.size)) {
  process.stdout.write(`${licence}: ${names.size} (${[...names].sort().join(', ')})\n`);
  for (const name of names) if (!isAllowed(licence, name)) refuse(`${name} has the licence ${licence}`);
}
for (const { name, hasInstallScript } of shipped) {
  if (!hasInstallScript) continue;
  process.stdout.write(`install script: ${name} (${SCRIPTS[name] ?? 'unknown'})\n`);
  if (!Object.hasOwn(SCRIPTS, name)) refuse(`${name} wants to run a script when it is installed`);
}

/** An SPDX expression: all of what AND joins must be allowed, and one of what OR joins. */
function isAllowed(licence: string, name: string): boolean {
  const isOne = (one: string) =>
    PERMISSIVE.has(one) || (one === LIBRARIES.licence && LIBRARIES.packages.test(name));
  const plain = licence.replace(/[()]/g, '');
  return plain.split(' AND ').every((part) => part.split(' OR ').some(isOne));
}

function refuse(what: string): void {
  process.stderr.write(`REFUSED: ${what}, which scripts/licences.ts does not allow.\n`);
  process.exitCode = 1;
}
