import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Command } from 'commander';
import { COMMANDS } from '../src/cli/commands.js';
import { ROOT } from './support/files.js';

const pages = [
  ...['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'models/README.md', 'examples/browser/README.md'],
  ...['scripts/pretrain/README.md', ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`)],
].filter((name) => name.endsWith('.md'));

const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };

/** The commands of the command line, with their options. */
const commands = new Map<string, Command>();
for (const { name, load } of COMMANDS) commands.set(name, (await load())(new Command(name)));

function read(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8');
}

/** The names by which GitHub links to the headings of a page. */
function anchorsOf(page: string): string[] {
  const headings = [...withoutCode(read(page)).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

function withoutCode(text: string): string {
  return text.replace(/```.*?```/gs, '');
}

/** What is wrong with the calls of `npm run` in a text: scripts and options that are not there. */
function wrongCalls(text: string): string[] {
  return [...text.matchAll(/npm run ([a-z][\w-]*)(?: -- ([^`#\n|]*))?/g)].flatMap(([call, name = '', words = '']) => {
    if (!(name in scripts)) return [call];
    const command = commands.get(name);
    if (!command) return [];
    const known = command.options.map(({ long }) => long).concat('--help');
    return words
      .replace(/'[^']*'/g, '')
      .split(/\s+/)
      .filter((word) => word.startsWith('--') && !known.includes(word))
      .map((word) => `${call}: ${word}`);
  });
}

describe.each(pages)('%s', (page) => {
  it('links to files and headings that are there', () => {
    const links = [...withoutCode(read(page)).matchAll(/\]\(\s*([^)\s]+)\s*\)/g)].map(([, link = '']) => link);
    const broken = links.filter((link) => {
      if (/^https?:/.test(link)) return false;
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? page : join(dirname(page), file);
      if (!existsSync(join(ROOT, target))) return true;
      return anchor !== undefined && !anchorsOf(target).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  it('calls commands that are there, with options that they have', () => {
    expect(wrongCalls(read(page))).toEqual([]);
  });
});

it.each([...commands.keys()])('%s --help calls commands that are there, with options that they have', (name) => {
  let help = '';
  const command = commands.get(name) ?? new Command();
  command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
  expect(help).toContain('Examples:');
  expect(wrongCalls(help)).toEqual([]);
});
