import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, CommanderError } from 'commander';
import { ROOT } from './support/files.js';

/** It has no options. */
const OTHERS = ['build'];

interface Started {
  exitCode: number;
  output: string;
}

/** Runs a script's command line in this process. */
async function start(command: Command, ...args: string[]): Promise<Started> {
  let output = '';
  const write = (text: string) => (output += text);
  command.configureOutput({ writeOut: write, writeErr: write });
  try {
    await command.parseAsync(args, { from: 'user' });
    return { exitCode: 0, output };
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { exitCode: error.exitCode, output };
  }
}

const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};
const developers = Object.entries(scripts).flatMap(([name, line]) => {
  const path = /^node --import tsx (scripts\/\S+)\.ts$/.exec(line)?.[1];
  return path === undefined || OTHERS.includes(name) ? [] : [[name, path] as const];
});

it.each(developers)('npm run %s explains itself', async (name, path) => {
  const { command } = (await import(`../${path}.js`)) as { command: Command };
  const help = await start(command, '--help');
  expect(help.exitCode).toBe(0);
  expect(help.output).toContain(`Usage: npm run ${name} -- [options]`);
  expect(help.output).toContain('Examples:');

  const wrong = await start(command, '--unknown');
  expect(wrong.exitCode).not.toBe(0);
  expect(wrong.output).toMatch(/^error: (unknown option '--unknown'|required option)/);
  expect(wrong.output).toContain(`Usage: npm run ${name} --`);
});
