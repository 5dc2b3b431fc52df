import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { COMMAND_LINE, lastlayer, SCRIPT } from '../support/command-line.js';
import { temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const root = await temporaryFolder();
const [bin, work] = [join(root, 'bin'), join(root, 'work')];
const ODD = 'odd $(touch harm);touch harm.jpg';

beforeAll(async () => {
  for (const folder of [bin, join(work, 'my photos (1)'), join(work, 'models')])
    await mkdir(folder, { recursive: true });
  for (const name of ['head.safetensors', ODD]) await writeFile(join(work, name), '');
  await writeFile(join(work, 'models', 'bees.onnx'), smallNetwork());
  // Completes as the command line does, and notes down what it is called with otherwise.
  const command = [process.execPath, COMMAND_LINE].map((word) => `'${word}'`).join(' ');
  await writeFile(
    join(bin, 'lastlayer'),
    `#!/bin/sh\n[ "$1" = completion ] && exec ${command} "$@"\nprintf '%s\\0' "$@" >> "$CALLED"; echo >> "$CALLED"\n`,
  );
  await chmod(join(bin, 'lastlayer'), 0o755);
});

/** What Tab makes of the last word, in the words that follow `lastlayer`: as bash is told. */
async function completed(...words: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await lastlayer(['completion', 'bash', '--', ...words], work);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.split('\n').filter((line) => line !== '');
}

const FILES = '__FILE__:any:::0';
const FOLDERS = '__FILE__:directory:::0';

describe('what is completed', () => {
  it.each<[string[], string[]]>([
    [['tra'], ['train-head']],
    [['help', 'ser'], ['serve']],
    [['--v'], ['--version']],
    [['embed', '--prec'], ['--precision']],
    [
      ['embed', '--precision', ''],
      ['fp32', 'int8'],
    ],
    [['embed', '--precision=i'], ['--precision=int8']],
    [
      ['train-head', '--class-weights', ''],
      ['none', 'balanced', FILES],
    ],
    [['train-head', '--l2-rule', 'o'], ['one-se']],
    [
      ['predict', '--views', 'f'],
      ['flip', 'flip,crops'],
    ],
    [['predict', '--unknown', ''], ['off']],
    [
      ['predict', '--model', 'b'],
      ['bees', FILES],
    ],
    [['fetch-model', '--model', 'wide_resnet50'], ['wide_resnet50_2']],
    [['predict', '--store', ''], [FILES]],
    [['predict', '--threads', ''], []],
    [['predict', '--copy-to', ''], [FOLDERS]],
    [['predict', 'a.jpg', ''], [FILES]],
    [['predict', '--', '--he'], [FILES]],
    [['search', 'a.jpg', 'b'], []],
    [['completion', 'f'], ['fish']],
    [['no-command', ''], []],
  ])('%j', async (words, expected) => {
    expect(await completed(...words)).toEqual(expected);
  });

  it('is an option where a command takes nothing else', async () => {
    expect(await completed('train-head', '')).toEqual(await completed('train-head', '--'));
    expect(await completed('train-head', '')).toContain('--learning-curve');
  });
});

it('names the shells that it knows', async () => {
  const { code, stderr } = await lastlayer(['completion', 'tcsh'], work);
  expect(code).toBe(2);
  expect(stderr).toMatch(/tcsh.*bash, zsh, fish/);
});

it('loads no native library, which would take longer than a Tab may', async () => {
  const log = join(root, 'log.cjs');
  await writeFile(
    log,
    `const { dlopen } = process; process.dlopen = (...args) => (console.error(args[1]), dlopen.apply(process, args));`,
  );
  const words = ['completion', 'bash', '--', 'predict', '--'];
  const { stderr, stdout } = spawnSync(process.execPath, ['--require', log, COMMAND_LINE, ...words], {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  expect(stdout).toContain('--copy-to');
  expect(stderr).toBe('');
});

/** How each shell is started, with no files of the user's. Its home has what the help says. */
const SHELLS = [
  {
    shell: 'bash',
    start: 'bash --noprofile --rcfile "$HOME/.bashrc" -i',
    files: { '.bashrc': "PS1='ready> '\nsource <(lastlayer completion bash)\n" },
  },
  {
    shell: 'zsh',
    start: 'zsh -o no_global_rcs -i',
    files: { '.zshrc': "PS1='ready> '\nautoload -U compinit\ncompinit -u -D\nsource <(lastlayer completion zsh)\n" },
  },
  {
    shell: 'fish',
    start: 'lastlayer completion fish > "$HOME/.config/fish/completions/lastlayer.fish"; fish -i',
    files: {
      '.config/fish/config.fish': "set -g fish_greeting\nfunction fish_prompt\n  echo -n 'ready> '\nend\n",
      '.config/fish/completions/lastlayer.fish': '',
      // Without this folder, fish fills it in the background.
      '.local/share/fish/generated_completions/none': '',
    },
  },
];

const isInstalled = (name: string) =>
  (process.env.PATH ?? '').split(delimiter).some((at) => existsSync(join(at, name)));

/** Types lines into a shell on a terminal. @returns the words that `lastlayer` was called with for each line */
async function typeInto(shell: string, start: string, lines: readonly string[]): Promise<string[][]> {
  const home = join(root, shell);
  const child = spawn(SCRIPT, ['-qc', start, '/dev/null'], {
    cwd: work,
    env: {
      HOME: home,
      ZDOTDIR: home,
      PATH: `${bin}${delimiter}${process.env.PATH}`,
      TERM: 'xterm',
      CALLED: join(home, 'called'),
    },
    timeout: 100_000,
    killSignal: 'SIGKILL',
  });
  let shown = '';
  let isReady = false;
  child.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.toString();
    if (isReady || !shown.includes('ready> ')) return;
    isReady = true;
    child.stdin.write([...lines, 'exit', ''].join('\r'));
  });
  await once(child, 'close');
  expect(shown).toContain('ready> ');
  const calls = (await readFile(join(home, 'called'), 'utf8')).split('\0\n').slice(0, -1);
  return calls.map((call) => call.split('\0'));
}

describe.each(SHELLS)('in $shell, Tab', ({ shell, start, files }) => {
  const isThere = existsSync(SCRIPT) && isInstalled(shell);
  (isThere ? it : it.skip)('completes commands, options, their values and the names of files', async () => {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, shell, name)), { recursive: true });
      await writeFile(join(root, shell, name), text);
    }
    const calls = await typeInto(shell, start, [
      'lastlayer tra\t--class-w\tbal\t',
      'lastlayer predict --unknown=o\tmy\t',
      'lastlayer predict --head=he\todd\t--pretr\t',
    ]);
    expect(calls.map((words) => words.map((word) => word.replace(/\/$/, '')))).toEqual([
      ['train-head', '--class-weights', 'balanced'],
      ['predict', '--unknown=off', 'my photos (1)'],
      ['predict', '--head=head.safetensors', ODD, '--pretrained-classes'],
    ]);
    // Nothing of a file's name is run.
    expect(existsSync(join(work, 'harm'))).toBe(false);
  });
});
