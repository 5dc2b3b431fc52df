import { runCommandLine } from './cli/program.js';
import { endUnread } from './cli/progress.js';
import { codeOf } from './util/errors.js';

// A reader such as `head` closes the pipe when it has read enough.
process.stdout.on('error', (error) => {
  if (codeOf(error) !== 'EPIPE') throw error;
  // Exiting while threads of the backbone are at work would crash.
  if (!endUnread()) process.exit();
});

const code = await runCommandLine(process.argv.slice(2));
process.exitCode = code;
// Interrupted: do not wait for a picture that is still being decoded in a process of its own.
if (code > 128) process.exit();
