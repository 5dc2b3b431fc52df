import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const FOLDER = new URL('../browser/', import.meta.url);
const RUNS_FROM_SOURCE = import.meta.url.endsWith('.ts');

const files = new Map<string, Promise<string>>();

/**
 * A file of a page that runs in the browser. Each page has a folder in `src/browser`. Its `page.js` and `page.css` are bundles
 * of `page.ts` (or `page.tsx`) and `page.css` with everything they import. A clone bundles them on first use; in the
 * package, `npm run build` has done so. Other files, such as `page.html`, are read as they are.
 * @param name page and file, such as `report/page.js`
 */
export function pageFile(name: string): Promise<string> {
  const known = files.get(name) ?? read(name);
  files.set(name, known);
  return known;
}

async function read(name: string): Promise<string> {
  const path = fileURLToPath(new URL(name, FOLDER));
  return RUNS_FROM_SOURCE && /\/page\.(js|css)$/.test(name) ? bundle(path) : readFile(path, 'utf8');
}

/** Only a clone has esbuild. */
async function bundle(path: string): Promise<string> {
  const { buildSync } = await import('esbuild');
  const { outputFiles } = buildSync({
    // Without `.js`, esbuild finds the `.ts` or `.tsx`.
    entryPoints: [path.replace(/\.js$/, '')],
    bundle: true,
    minify: true,
    format: 'iife',
    target: 'es2022',
    charset: 'utf8',
    logLevel: 'silent', // The error says it all.
    write: false,
  });
  return outputFiles[0]!.text;
}
