/**
 * Builds the package into dist: JavaScript and declarations by the TypeScript compiler, and beside them whatever else the
 * source needs when it runs.
 *
 *     npm run build
 */
import { execFileSync } from 'node:child_process';
import { chmod, cp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const [source, dist] = [join(ROOT, 'src'), join(ROOT, 'dist')];
const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');

await rm(dist, { recursive: true, force: true });
execFileSync(process.execPath, [compiler, '-p', join(ROOT, 'tsconfig.build.json')], { stdio: 'inherit' });
await cp(source, dist, { recursive: true, filter: (path) => !path.endsWith('.ts') });
await chmod(join(dist, 'cli.js'), 0o755);
