import { spawnSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Argument, Command, CommanderError, InvalidArgumentError } from 'commander';
import { LastlayerError, UsageError } from '../../src/util/errors.js';
import { isInRange, type NumberRange, requirement } from '../../src/util/validate.js';

/** The repository. */
export const ROOT = resolve(fileURLToPath(new URL('../..', import.meta.url)));

/** A data set of drawn pictures. */
export const EXAMPLES = resolve(ROOT, 'test/fixtures/examples');

/** What Node runs for the command line, as `npm run embed` does. */
export const COMMAND_LINE = resolve(ROOT, 'src/bin.cjs');

/** The command line of a script in package.json. Give it options and an action, then pass it to {@link run}. */
export function script(name: string, description: string, examples: readonly string[] = []): Command {
  const usage = `npm run ${name} --`;
  const lines = examples.map((example) => `  ${usage} ${example}`.trimEnd());
  return new Command(usage)
    .description(description)
    .addHelpText('after', lines.length === 0 ? '' : ['', 'Examples:', ...lines].join('\n'))
    .showHelpAfterError()
    .exitOverride();
}

/**
 * Runs a script if it was started itself, rather than imported. The exit code is 2 for wrong usage, and 1 for other errors
 * that the user can fix, which are reported without a stack.
 * @param url `import.meta.url` of the script
 */
export async function run(url: string, command: Command): Promise<void> {
  const started = process.argv[1];
  if (started === undefined || realpathSync(started) !== fileURLToPath(url)) return;
  try {
    await command.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
    else if (error instanceof LastlayerError) {
      process.stderr.write(`Error: ${error.message}\n`);
      process.exitCode = error instanceof UsageError ? 2 : 1;
    } else throw error;
  }
}

/** A data set, by default the example pictures. */
export function datasetArgument(name = '[dataset]'): Argument {
  return new Argument(name, 'data set, e.g. a folder of pictures')
    .argParser(existingPath)
    .default(EXAMPLES, 'the example pictures');
}

/** Parses a number in a range. */
export function number(range: NumberRange): (text: string) => number {
  return (text) => {
    const value = text.trim() === '' ? NaN : Number(text);
    if (isInRange(value, range)) return value;
    throw new InvalidArgumentError(requirement(range));
  };
}

/** Parses a whole number of at least 1. */
export const count = number({ integer: true, min: 1 });

/** Parses a seed. */
export const seed = number({ integer: true, min: 0 });

/** Parses the path of something that exists, and resolves it. */
export function existingPath(text: string): string {
  const path = resolve(text);
  if (existsSync(path)) return path;
  throw new InvalidArgumentError(`There is no ${path}.`);
}

/** Parses names separated by commas. */
export function namesOf(known: readonly string[]): (text: string) => string[] {
  return (text) => {
    const names = text.split(',').map((name) => name.trim());
    const unknown = names.find((name) => !known.includes(name));
    if (unknown === undefined) return names;
    throw new InvalidArgumentError(`Unknown name "${unknown}". Use ${known.join(', ')}.`);
  };
}

/** @throws {LastlayerError} if a program cannot be started */
export function requireProgram(name: string, advice: string): void {
  if (spawnSync(name, ['--version']).status !== 0)
    throw new LastlayerError(`This needs ${name}, which does not run here. ${advice}`);
}
