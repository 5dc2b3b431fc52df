import { Argument, type Command } from 'commander';
import { lazily } from '../../util/lazily.js';

export const completionCommand = (command: Command): Command =>
  command
    .addArgument(new Argument('<shell>', 'the shell to complete in').choices(['bash', 'zsh', 'fish']))
    .argument('[words...]', 'for the script: what is typed so far, whose last word is to be completed')
    .addHelpText(
      'after',
      `
Prints the script with which a shell completes commands, options, their values and the names of files, once you press Tab. It
completes for \`lastlayer\` on the PATH, where npm install --global puts it. Calls by npx and npm are not completed.

Where the script goes:
  bash  into ~/.bashrc:  source <(lastlayer completion bash)
  zsh   into ~/.zshrc, below compinit:  source <(lastlayer completion zsh)
  fish  once:  lastlayer completion fish > ~/.config/fish/completions/lastlayer.fish

A new shell then has it. It starts a little faster with a file: _lastlayer in a folder of zsh's $fpath, or, for bash with the
package bash-completion, ~/.local/share/bash-completion/completions/lastlayer. Write it again after an update.

Examples:
  lastlayer completion bash
  lastlayer completion fish -- train-head --class-weights ''`,
    )
    .action(lazily(async () => (await import('../completion.js')).run));
