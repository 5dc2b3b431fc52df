import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
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
  const { outputFiles, metafile } = buildSync({
    // Without `.js`, esbuild finds the `.ts` or `.tsx`.
    entryPoints: [path.replace(/\.js$/, '')],
    bundle: true,
    minify: true,
    format: 'iife',
    target: 'es2022',
    charset: 'utf8',
    logLevel: 'silent', // The error says it all.
    write: false,
    metafile: true,
  });
  return (await noticesOf(Object.keys(metafile.inputs))) + outputFiles[0]!.text;
}

/** The licences of the packages that are in a bundle, which ask to go with every copy. Each comment begins with its name. */
async function noticesOf(inputs: readonly string[]): Promise<string> {
  const folders = inputs.map((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? '');
  const notices = [...new Set(folders)].filter((folder) => folder !== '').map(noticeOf);
  return (await Promise.all(notices)).join('');
}

async function noticeOf(folder: string): Promise<string> {
  const { name, version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Record<string, string>;
  const file = (await readdir(folder)).find((one) => /^licen[cs]e/i.test(one));
  if (file === undefined) throw new Error(`${name} has no licence file in ${folder}, but a page contains it.`);
  return `/*! ${name} ${version}\n\n${(await readFile(join(folder, file), 'utf8')).trim()}\n*/\n`;
}
