import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { table } from '../../src/cli/terminal.js';
import { describeWithTerminal, lastlayer, lastlayerOnTerminal } from '../support/command-line.js';
import { writeStore } from '../support/embeddings.js';
import { temporaryFolder } from '../support/files.js';

const root = await temporaryFolder();
const LONG = 'garden ants of the genus Lasius, workers and queens, with and without wings, in nests and on leaves';
const TRAIN = ['train-head', '--folds', '0'];

beforeAll(async () => {
  const rows = Array.from({ length: 24 }, (_, i) => ({
    path: `/data/${i}.jpg`,
    label: i % 2 === 0 ? LONG : '蜜蜂',
    embedding: Float32Array.from({ length: 4 }, (__, j) => Math.sin(7 * i + j) + (j % 2 === i % 2 ? 2 : 0)),
  }));
  await writeStore(join(root, 'embeddings'), rows, 4);
});

/** The lines that are left on the terminal, without colours and progress. */
async function linesAt(columns: number, args: readonly string[]): Promise<string[]> {
  const output = await lastlayerOnTerminal(args, root, { columns });
  return stripVTControlCharacters(output)
    .split('\r\n')
    .map((line) => line.split('\r').at(-1) ?? '');
}

const words = (text: string) => text.split(/\s+/).filter((word) => word !== '');
const longest = (lines: string[]) => Math.max(...lines.map((line) => line.length));

describeWithTerminal('on a terminal (script of util-linux)', () => {
  it.each([80, 120])('help of %i columns breaks lines between words', async (columns) => {
    const lines = await linesAt(columns, ['embed', '--help']);
    expect(longest(lines)).toBeLessThanOrEqual(columns);
    expect(longest(lines)).toBeGreaterThan(columns - 10);
    const inPipe = (await lastlayer(['embed', '--help'], root)).stdout;
    expect(words(lines.join(' '))).toEqual(words(inPipe));
  });

  test('a name too long for its table is wrapped beside its figures', async () => {
    const lines = await linesAt(80, TRAIN);
    expect(longest(lines)).toBeLessThanOrEqual(80);
    const [, beginning, rest] =
      /\n( {2}garden ants .*?) {2,}100\.0 % [^\n]* 12\n(.*?)\n {2}蜜蜂 /s.exec(lines.join('\n')) ?? [];
    expect(words(`${beginning} ${rest}`).join(' ')).toBe(LONG);
  });

  test('errors are wrapped', async () => {
    const args = ['train-head', '--store', 'nowhere'];
    const lines = await linesAt(60, args);
    expect(longest(lines)).toBeLessThanOrEqual(60);
    expect(words(lines.join(' '))).toEqual(words((await lastlayer(args, root)).stderr));
  });

  test('the bar of cross-validation ends at its end', async () => {
    const output = await lastlayerOnTerminal(['train-head'], root);
    const states = [...output.matchAll(/(\d+)\/(\d+) fits/g)];
    expect(states[0]?.[0]).toMatch(/^0\/[1-9]/);
    const [, done, total] = states.at(-1) ?? [];
    expect(Number(done)).toBeGreaterThan(0);
    expect(done).toBe(total);
  });

  test('JSON stays on one line', async () => {
    const lines = await linesAt(80, [...TRAIN, '--json']);
    expect(JSON.parse(lines.find((line) => line.startsWith('{')) ?? '')).toMatchObject({ labels: [LONG, '蜜蜂'] });
  });
});

test('a path too long for its table stands whole above its row', () => {
  const path = `/photos/${'a'.repeat(30)}/1.jpg`;
  expect(
    table(
      [
        [path, 'ant', '0.9'],
        ['2.jpg', 'bee', '0.8'],
      ],
      { width: 30 },
    ).split('\n'),
  ).toEqual([path, `${' '.repeat(20)}  ant  0.9`, `2.jpg${' '.repeat(15)}  bee  0.8`]);
});

test('columns stay aligned with characters that are two wide', async () => {
  const { stdout } = await lastlayer(TRAIN, root);
  const [ants, bees] = [LONG, '蜜蜂'].map(
    (label) => stdout.split('\n').find((line) => line.startsWith(`  ${label} `)) ?? '',
  );
  expect(bees?.length).toBe((ants?.length ?? 0) - 2);
});

test('a pipe gets whole lines', async () => {
  const { stdout } = await lastlayer(TRAIN, root);
  expect(stdout).toMatch(new RegExp(`^ {2}${LONG} +[\\d.]+ %`, 'm'));
});
