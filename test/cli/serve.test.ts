import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { saveHead } from '../../src/head/file.js';
import { lastlayer, lastlayerProcess } from '../support/command-line.js';
import { temporaryFolder } from '../support/files.js';
import { makeWorld, post } from '../support/server.js';

const folder = await temporaryFolder();
const world = await makeWorld(folder, 4);
const bytes = new Uint8Array(await readFile(world.pictures[0] ?? ''));
const flags = ['--model', world.model, '--head', world.head];

/** Starts the command and waits until it tells where it listens. */
async function start(...options: string[]) {
  const { process: child, outcome } = lastlayerProcess(
    ['serve', ...flags, '--port', '0', '--json', ...options],
    folder,
  );
  const [line] = (await Promise.race([once(child.stdout ?? child, 'data'), outcome.then(() => [''])])) as [Buffer];
  const { url } = JSON.parse(line.toString()) as { url: string };
  return { child, outcome, url };
}

test.each([['SIGTERM'], ['SIGINT']] as const)(
  '%s ends it when the requests under way are answered: exit code 0',
  async (signal) => {
    const { child, outcome, url } = await start('--store', world.store);
    const answers = Array.from({ length: 20 }, () => post(`${url}/v1/classify`, bytes));
    await Promise.race(answers);
    child.kill(signal);
    // Those that came in time are answered; those that did not are refused, by an answer or by no connection.
    const statuses = await Promise.all(
      answers.map((answer) =>
        answer.then(
          ({ status }) => status,
          () => 503,
        ),
      ),
    );
    expect(statuses.every((status) => status === 200 || status === 503)).toBe(true);
    const { code, stderr } = await outcome;
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/"msg":"Serving stripes at http:.*\n\nStopping after/) as string,
    });
    await expect(fetch(url)).rejects.toThrow();
  },
);

test('what it cannot serve is told in plain words', async () => {
  await saveHead(join(folder, 'other.safetensors'), world.classifier.head.with({ modelId: 'other@0123456789ab' }));
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const taken = String((other.address() as AddressInfo).port);
  const failures: [string[], number, RegExp][] = [
    [
      ['--port', taken],
      1,
      /cannot listen on port \d+ of 127\.0\.0\.1\. Another program uses it; choose another one with --port/,
    ],
    [['--head', 'other.safetensors'], 1, /other\.safetensors: The head was trained on embeddings of other@/],
    [['--store', 'none'], 1, /There are no embeddings at .*none/],
    [['--head', world.head], 2, /Two heads are named stripes\. Give them different names/],
  ];
  try {
    for (const [options, exitCode, reason] of failures) {
      const { code, stderr } = await lastlayer(['serve', ...flags, ...options], folder);
      expect({ code, stderr }).toEqual({ code: exitCode, stderr: expect.stringMatching(reason) as string });
      expect(stderr).not.toMatch(/^ +at /m);
    }
  } finally {
    other.close();
  }
});
