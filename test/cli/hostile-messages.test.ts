import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { decodeModel, encodeModel, graphOf } from '../../src/formats/onnx/model.js';
import { lastlayerProcess } from '../support/command-line.js';
import { temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';
import { storedRows } from '../support/store.js';

const folder = await temporaryFolder();
await writeFile(join(folder, 'small.onnx'), smallNetwork());

/** What a terminal acts upon, in eight bits as in seven. */
const CONTROL = /[^\P{Cc}\n]/u;

/** The bytes of `gone` and U+009B in UTF-8, each of them as a character. */
const UTF8_CONTROL = 'gone\u00c2\u009b2J';

it('what a decoder or a server says of a picture is cut short, and acts on no terminal', async () => {
  const server = createServer((_, response) => response.writeHead(404, UTF8_CONTROL).end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const name = 'a'.repeat(40_000);
  await writeFile(
    join(folder, 'long.svg'),
    `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"><text>&${name};</text></svg>`,
  );
  await writeFile(join(folder, 'odd.csv'), `path\nlong.svg\nhttp://127.0.0.1:${port}/a.png\n`);
  const embed = ['embed', 'odd.csv', '--model', 'small.onnx', '--store', 'store'];
  const shown = await lastlayerProcess(embed, folder).outcome;
  const json = await lastlayerProcess([...embed, '--json'], folder).outcome;
  server.close();

  const reasons = (await storedRows(join(folder, 'store'))).map(({ error }) => error ?? '');
  expect(reasons).toEqual([
    expect.stringMatching(/XML parse error.*Entity 'a{3000,} … a{3000,}/),
    'the server says 404 gone\u009b2J',
  ]);
  expect(reasons.map(({ length }) => length < 8_100)).toEqual([true, true]);
  for (const text of [shown.stderr, json.stdout]) {
    expect(text).toContain('404 gone\\u009b2J');
    expect(text).not.toMatch(CONTROL);
  }
  expect((JSON.parse(json.stdout) as { errors: { error: string }[] }).errors[1]?.error).toBe(reasons[1]);
});

it('a network’s names are cut short, and act on no terminal', async () => {
  const network = decodeModel(smallNetwork(), 'small');
  const pooling = graphOf(network, 'small').node.find(({ opType }) => opType === 'GlobalAveragePool');
  if (pooling) pooling.opType = `\u001b[2J${'x'.repeat(1_000_000)}`;
  await writeFile(join(folder, 'named.onnx'), encodeModel(network));
  const { code, stderr } = await lastlayerProcess(['inspect', '--model', 'named.onnx'], folder).outcome;
  expect(code).toBe(1);
  expect(stderr).toContain('named.onnx on cpu');
  expect(stderr).toContain('\\u001b[2Jxxx');
  expect(stderr).not.toMatch(CONTROL);
  expect(stderr.length).toBeLessThan(10_000);
});
