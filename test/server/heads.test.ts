import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { saveHead } from '../../src/head/file.js';
import { temporaryFolder } from '../support/files.js';
import { closeServer, logLines, makeWorld, post, serve } from '../support/server.js';

const folder = await temporaryFolder();
const world = await makeWorld(folder, 4);
const { head } = world.classifier;
const bytes = new Uint8Array(await readFile(world.pictures[0] ?? ''));
const { lines, log } = logLines();
const { url, heads } = await serve(world, { reloadInterval: 20, log });
afterAll(closeServer);

async function untilLogged(pattern: RegExp): Promise<void> {
  while (!lines.some((line) => pattern.test(line))) await new Promise((resolve) => setTimeout(resolve, 10));
}

const classify = async () => (await post(`${url}/v1/classify?topK=3`, bytes)).body;

test('a head is read anew when its file changes, and no request fails meanwhile', async () => {
  const labels = head.labels.map((label) => `very ${label}`);
  const state = { done: false };
  const meanwhile = (async () => {
    const seen: string[] = [];
    while (!state.done) {
      const { head, results } = await classify();
      // Each answer is all of the old head, or all of the new one.
      const isNew = head.id !== heads[0]?.id;
      expect(results[0]?.predictions.every(({ label }) => label.startsWith('very ') === isNew)).toBe(true);
      seen.push(head.id);
    }
    return seen;
  })();
  await classify();
  await saveHead(world.head, head.with({ labels }));
  await untilLogged(/Reloaded the head stripes/);
  await classify();
  state.done = true;
  expect(new Set(await meanwhile).size).toBe(2);
  expect((await classify()).results[0]?.predictions[0]?.label).toMatch(/^very /);
});

test('a torn file, and a head of another network, are told of and not taken', async () => {
  const before = await classify();
  const whole = await readFile(world.head);
  await writeFile(world.head, whole.subarray(0, whole.length - 40));
  await untilLogged(/The head stripes was not reloaded: .*stripes\.safetensors/);
  expect(await classify()).toEqual(before);

  await saveHead(join(folder, 'other.safetensors'), head.with({ modelId: 'other@0123456789ab' }));
  await writeFile(world.head, await readFile(join(folder, 'other.safetensors')));
  await untilLogged(/was not reloaded: .*trained on embeddings of other@0123456789ab/);
  expect(await classify()).toEqual(before);

  await writeFile(world.head, whole.subarray(0, 0));
  await saveHead(world.head, head);
  await untilLogged(new RegExp(`now ${heads[0]?.id ?? ''}`));
  expect((await classify()).head.id).toBe(heads[0]?.id);
});
