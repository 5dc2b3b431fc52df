#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { Interrupted } from './commands/interrupt.js';
import { checkDataCommand } from './commands/check-data.js';
import { embedCommand } from './commands/embed.js';
import { evaluateCommand } from './commands/evaluate.js';
import { exportCommand } from './commands/export.js';
import { fetchModelCommand } from './commands/fetch-model.js';
import { inspectCommand } from './commands/inspect.js';
import { predictCommand } from './commands/predict.js';
import { quantizeCommand } from './commands/quantize.js';
import { reportCommand } from './commands/report.js';
import { complain, say } from './commands/terminal.js';
import { searchCommand } from './commands/search.js';
import { serveCommand } from './commands/serve.js';
import { trainHeadCommand } from './commands/train-head.js';
import { workerCommand } from './commands/worker.js';
import { codeOf, LastlayerError, UsageError } from './errors.js';
import { asCalled } from './invocation.js';
import { ownVersion } from './version.js';

/** Help names commands as they are called here. */
const output = {
  writeOut: (text: string) => process.stdout.write(asCalled(text)),
  writeErr: (text: string) => process.stderr.write(asCalled(text)),
};

const program = new Command('lastlayer')
  .description('Fine-tune the last layer of a pretrained vision network.')
  .version(await ownVersion())
  .configureOutput(output)
  .showHelpAfterError('(--help shows the options, with examples)');

const commands = [
  fetchModelCommand(),
  embedCommand(),
  trainHeadCommand(),
  predictCommand(),
  evaluateCommand(),
  checkDataCommand(),
  reportCommand(),
  searchCommand(),
  serveCommand(),
  inspectCommand(),
  quantizeCommand(),
  exportCommand(),
  workerCommand(),
];
for (const command of commands) {
  program.addCommand(
    command
      .exitOverride()
      .configureOutput(output)
      .showHelpAfterError('(--help shows the options, with examples)'),
  );
}

// Whoever reads our output, such as head, may have read enough.
process.stdout.on('error', (error) => {
  if (codeOf(error) !== 'EPIPE') throw error;
  process.exit();
});

try {
  await program.exitOverride().parseAsync();
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
