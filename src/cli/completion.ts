import { bash, fish, type ShellCompletion, zsh } from '@optique/core/completion';
import type { Suggestion } from '@optique/core/parser';
import type { Command, Option } from 'commander';
import { asCalled } from '../util/errors.js';
import { sayNext } from './next.js';
import { wordsOf } from './options.js';
import { printRaw } from './terminal.js';

const SCRIPTS = { bash, zsh, fish } satisfies Record<string, ShellCompletion>;

type Shell = keyof typeof SCRIPTS;

/** What makes each shell read the script. */
const SETUP: Record<Shell, string> = {
  bash: 'put `source <(lastlayer completion bash)` into ~/.bashrc.',
  zsh: 'put `source <(lastlayer completion zsh)` into ~/.zshrc, below compinit.',
  fish: 'run `lastlayer completion fish > ~/.config/fish/completions/lastlayer.fish`.',
};

/** Prints the script or, for words, what may take the place of the last one. */
export async function run(shell: Shell, words: string[], _: unknown, { parent }: Command): Promise<void> {
  const script = SCRIPTS[shell];
  if (words.length === 0) {
    printRaw(script.generateScript('lastlayer', ['completion', shell, '--']).trim());
    if (process.stdout.isTTY) sayNext(SETUP[shell]);
    return;
  }
  // The scripts read lines, while only those of bash and fish have breaks between them.
  const parts = [...script.encodeSuggestions(await complete(parent!, words))];
  printRaw(parts.filter((part) => part !== '\n').join('\n'));
}

/** What may take the place of the last word. @param program with the options of the command that the words name */
async function complete(program: Command, words: readonly string[]): Promise<Suggestion[]> {
  const [name = '', ...rest] = words.slice(0, -1);
  const current = words.at(-1) ?? '';
  if (words.length === 1) return current.startsWith('-') ? optionsOf(program, current) : commandsOf(program, current);
  if (name === 'help') return rest.length === 0 ? commandsOf(program, current) : [];
  const command = program.commands.find((each) => each.name() === name);
  return command ? completeIn(command, rest, current) : [];
}

async function completeIn(command: Command, before: readonly string[], current: string): Promise<Suggestion[]> {
  const { awaiting, operands, onlyOperands } = readWords(command, before);
  if (awaiting) return valuesOf(awaiting, current);
  const [, name = '', value = ''] = (!onlyOperands && /^(--[^=]+)=(.*)$/s.exec(current)) || [];
  const assigned = optionWithValue(command, name);
  if (assigned) return valuesOf(assigned, value, `${name}=`);
  const { registeredArguments: all } = command;
  const argument = all[operands] ?? (all.at(-1)?.variadic ? all.at(-1) : undefined);
  if (!onlyOperands && (current.startsWith('-') || (current === '' && !argument))) return optionsOf(command, current);
  if (!argument) return [];
  return argument.argChoices ? matching(current, argument.argChoices) : [{ kind: 'file', type: 'any' }];
}

/** Reads words as commander does. */
function readWords(command: Command, words: readonly string[]) {
  let awaiting: Option | undefined;
  let operands = 0;
  let onlyOperands = false;
  for (const word of words) {
    if (awaiting) awaiting = undefined;
    else if (onlyOperands || !word.startsWith('-') || word === '-') operands++;
    else if (word === '--') onlyOperands = true;
    else awaiting = optionWithValue(command, word);
  }
  return { awaiting, operands, onlyOperands };
}

/** The option of that name that takes a value. */
function optionWithValue(command: Command, name: string): Option | undefined {
  return command.options.find(({ required, long, short }) => required && (long === name || short === name));
}

/** Placeholders of options that name something on the disk, such as `<file>` in `--out <file>`. */
const ON_DISK = /[<|](file|dir|path)[>|]/;

/** @param prefix what of the word is not the value: `--name=` */
async function valuesOf(option: Option, value: string, prefix = ''): Promise<Suggestion[]> {
  const words = matching(value, option.argChoices ?? (await wordsOf(option)), prefix);
  const [, what] = ON_DISK.exec(option.flags) ?? [];
  if (what === undefined) return words;
  const type = what === 'dir' ? 'directory' : 'any';
  return [...words, { kind: 'file', type, ...(prefix !== '' && { prefix, pattern: prefix + value }) }];
}

function matching(value: string, words: readonly string[], prefix = ''): Suggestion[] {
  return words.filter((word) => word.startsWith(value)).map((word) => ({ kind: 'literal', text: prefix + word }));
}

function commandsOf(program: Command, current: string): Suggestion[] {
  return described(
    program
      .createHelp()
      .visibleCommands(program)
      .map((command) => [command.name(), command.description()]),
    current,
  );
}

function optionsOf(command: Command, current: string): Suggestion[] {
  return described(
    command
      .createHelp()
      .visibleOptions(command)
      .map(({ long, description }) => [long ?? '', description]),
    current,
  );
}

function described(entries: readonly (readonly [string, string])[], current: string): Suggestion[] {
  return entries
    .filter(([text]) => text.startsWith(current))
    .map(([text, description]) => ({
      kind: 'literal',
      text,
      description: [{ type: 'text', text: asCalled(description) }],
    }));
}
