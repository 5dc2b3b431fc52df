#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { COMMANDS } from './cli/commands.js';
import { Interrupted } from './cli/progress.js';
import { complain, say } from './cli/terminal.js';
import { asCalled, codeOf, LastlayerError, UsageError } from './util/errors.js';
import { ownVersion } from './util/version.js';

/** Help names commands as they are called here. */
const output = {
  writeOut: (text: string) => process.stdout.write(asCalled(text)),
  writeErr: (text: string) => process.stderr.write(asCalled(text)),
};

const program = new Command('lastlayer')
  .description('Fine-tune the last layer of a pretrained vision network.')
  .version(await ownVersion())
  .configureOutput(output)
  .configureHelp({ subcommandTerm: (command) => command.name() })
  .exitOverride()
  .showHelpAfterError('(--help shows the options, with examples)');

for (const { name, description, load } of COMMANDS) {
  const command = program.command(name).description(description);
  // Loading all would take several times as long as the one that is called.
  if (process.argv.includes(name)) (await load())(command);
}

// Whoever reads our output, such as head, may have read enough.
process.stdout.on('error', (error) => {
  if (codeOf(error) !== 'EPIPE') throw error;
  process.exit();
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
  // A picture that is still being decoded, in a process of its own, would be waited for.
  if (error instanceof Interrupted) process.exit();
}

/** 0 done, 1 failed, 2 wrong usage, 3 done with pictures skipped (set by the command), 130 broken off. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof Interrupted) return error.exitCode;
  if (error instanceof LastlayerError) {
    complain(error.message);
    return error instanceof UsageError ? 2 : 1;
  }
  // Not the user's doing: the stack helps whoever looks into it.
  say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return 1;
}
