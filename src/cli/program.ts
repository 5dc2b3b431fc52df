import { Command, CommanderError } from 'commander';
import { asCalled, LastlayerError, UsageError } from '../util/errors.js';
import { ownVersion } from '../util/version.js';
import { COMMANDS } from './commands.js';
import { Interrupted, OutputClosed } from './progress.js';
import { columnsOf, complain, fitted, say } from './terminal.js';

/**
 * Runs the command line.
 * @param args as typed after the program's name
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage, 3 done but pictures were skipped, 130 or 143 interrupted
 */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  const program = new Command('lastlayer')
    .description('Fine-tune the last layer of a pretrained vision network.')
    .version(await ownVersion())
    .configureOutput({
      writeOut: (text) => process.stdout.write(fittedHelp(text, process.stdout)),
      writeErr: (text) => process.stderr.write(fittedHelp(text, process.stderr)),
    })
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .exitOverride()
    .showHelpAfterError('(--help shows the options, with examples)');
  for (const { name, description, load } of COMMANDS) {
    const command = program.command(name).description(description);
    // Loading all commands would take several times as long as loading the one that is called.
    if (args.includes(name)) (await load())(command);
  }
  try {
    suggestCommand(args[0]);
    await program.parseAsync(args, { from: 'user' });
    // Commands that skip pictures set it.
    return Number(process.exitCode ?? 0);
  } catch (error) {
    return exitCodeOf(error);
  }
}

/** Commander wraps the options at the terminal's width. The paragraphs below them have lines of their own, which are joined first. */
function fittedHelp(text: string, stream: NodeJS.WriteStream): string {
  const called = asCalled(text);
  if (columnsOf(stream) === undefined) return called;
  return fitted(called.replace(/(?<=^\S.*)\n(?=\S)/gm, ' '), stream);
}

/** @throws {UsageError} if it is a word that people try in place of a command's name */
function suggestCommand(word: string | undefined): void {
  const meant = COMMANDS.find(({ tried }) => word !== undefined && tried.includes(word));
  if (!meant) return;
  throw new UsageError(`There is no command ${word}. \`npm run ${meant.name}\` does that; --help lists all commands.`);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof Interrupted) return error.exitCode;
  if (error instanceof OutputClosed) return 0;
  if (error instanceof LastlayerError) {
    complain(error.message);
    return error instanceof UsageError ? 2 : 1;
  }
  // A bug: the stack helps whoever looks into it.
  say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return 1;
}
