/**
 * Builds the package into dist: JavaScript and declarations by the TypeScript compiler, and beside them whatever else the
 * source needs when it runs.
 *
 *     npm run build
 */
import { execFileSync } from 'node:child_process';
import { chmod, cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pageFile } from '../src/util/page-files.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const [source, dist] = [join(ROOT, 'src'), join(ROOT, 'dist')];
const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');

await rm(dist, { recursive: true, force: true });
execFileSync(process.execPath, [compiler, '-p', join(ROOT, 'tsconfig.build.json')], { stdio: 'inherit' });
await cp(source, dist, {
  recursive: true,
  filter: (path) => !path.endsWith('.ts') && path !== join(source, 'browser'),
});
for (const name of await namesOfPageFiles()) {
  await mkdir(dirname(join(dist, 'browser', name)), { recursive: true });
  await writeFile(join(dist, 'browser', name), await pageFile(name));
}
await chmod(join(dist, 'bin.cjs'), 0o755);

/** The names of the files that `pageFile` is asked for. */
async function namesOfPageFiles(): Promise<string[]> {
  const found = await readdir(join(source, 'browser'), { recursive: true });
  return found
    .map((name) => name.replaceAll(sep, '/').replace(/\/page\.tsx?$/, '/page.js'))
    .filter((name) => /\/page\.(js|css)$|\.(html|svg)$/.test(name));
}
