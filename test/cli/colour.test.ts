import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { describeWithTerminal, lastlayer, lastlayerOnTerminal, lastlayerProcess } from '../support/command-line.js';
import { writeStore } from '../support/embeddings.js';
import { temporaryFolder } from '../support/files.js';

const RED_ERROR = '\u001b[31m\u001b[1mError:\u001b[22m\u001b[39m';
/** One fit: this is about colours. */
const TRAIN = ['train-head', '--folds', '0'];
const root = await temporaryFolder();

let plain = '';

beforeAll(async () => {
  const rows = Array.from({ length: 24 }, (_, i) => ({
    path: `/data/${i}.jpg`,
    label: i % 2 === 0 ? 'ant' : 'bee',
    embedding: Float32Array.from({ length: 4 }, (__, j) => Math.sin(7 * i + j) + (j % 2 === i % 2 ? 2 : 0)),
  }));
  await writeStore(join(root, 'embeddings'), rows, 4);
  plain = (await lastlayerProcess(TRAIN, root).outcome).stdout;
});

test('what is not written to a terminal has no colours', () => {
  expect(plain).toMatch(/accuracy [\d.]+ % of 24/);
  expect(plain).not.toContain('\u001b');
});

test('unless FORCE_COLOR asks for them; columns stay aligned', async () => {
  const { stdout } = await lastlayer(TRAIN, root, { FORCE_COLOR: '1' });
  expect(stdout).toContain('accuracy \u001b[1m');
  expect(stdout).toContain('\u001b[32m');
  expect(stripVTControlCharacters(stdout)).toBe(plain);
});

test('which NO_COLOR forbids', async () => {
  expect((await lastlayer(TRAIN, root, { FORCE_COLOR: '1', NO_COLOR: '1' })).stdout).toBe(plain);
});

test('errors are red', async () => {
  const { stderr } = await lastlayer(['train-head', '--store', 'none'], root, { FORCE_COLOR: '1' });
  expect(stderr.startsWith(`${RED_ERROR} There are no embeddings`)).toBe(true);
});

describeWithTerminal('on a terminal (script of util-linux)', () => {
  it.each([
    ['colours are shown', {}, true],
    ['none with NO_COLOR', { NO_COLOR: '1' }, false],
    ['none on one that has none', { TERM: 'dumb' }, false],
  ])('%s', async (_, env, expected) => {
    const output = await lastlayerOnTerminal(TRAIN, root, env);
    expect(stripVTControlCharacters(output)).toMatch(/trained on 24 pictures of 2 classes/);
    expect(output.includes('\u001b[1m')).toBe(expected);
  });
});
