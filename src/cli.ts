#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { COMMANDS } from './cli/commands.js';
import { Interrupted } from './cli/progress.js';
import { complain, say } from './cli/terminal.js';
import { asCalled, codeOf, LastlayerError, UsageError } from './util/errors.js';
import { ownVersion } from './util/version.js';

const program = new Command('lastlayer')
  .description('Fine-tune the last layer of a pretrained vision network.')
  .version(await ownVersion())
  .configureOutput({
    writeOut: (text) => process.stdout.write(asCalled(text)),
    writeErr: (text) => process.stderr.write(asCalled(text)),
  })
  .configureHelp({ subcommandTerm: (command) => command.name() })
  .exitOverride()
  .showHelpAfterError('(--help shows the options, with examples)');

for (const { name, description, load } of COMMANDS) {
  const command = program.command(name).description(description);
  // Loading all commands would take several times as long as loading the one that is called.
  if (process.argv.includes(name)) (await load())(command);
}

// A reader such as `head` closes the pipe when it has read enough.
process.stdout.on('error', (error) => {
  if (codeOf(error) !== 'EPIPE') throw error;
  process.exit();
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
  // Do not wait for a picture that is still being decoded in a process of its own.
  if (error instanceof Interrupted) process.exit();
}

/** 0 done, 1 failed, 2 wrong usage, 3 done but pictures were skipped (set by the command), 130 or 143 interrupted. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (error instanceof Interrupted) return error.exitCode;
  if (error instanceof LastlayerError) {
    complain(error.message);
    return error instanceof UsageError ? 2 : 1;
  }
  // A bug: the stack helps whoever looks into it.
  say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return 1;
}
