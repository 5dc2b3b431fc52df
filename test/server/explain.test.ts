import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { loadBackbone } from '../../src/backbone/load.js';
import type { Explanation } from '../../src/classify/explain.js';
import { graphOf, decodeModel, encodeModel } from '../../src/formats/onnx/model.js';
import { saveHead } from '../../src/head/file.js';
import { temporaryFolder } from '../support/files.js';
import { madeUpHead } from '../support/made-up-head.js';
import { closeServer, form, makeWorld, post, serve } from '../support/server.js';
import { smallNetwork } from '../support/small-network.js';

const folder = await temporaryFolder();
const world = await makeWorld(folder, 4);
const { url } = await serve(world);
afterAll(closeServer);

const pictures = await Promise.all(
  world.pictures.slice(3, 6).map(async (path) => new Uint8Array(await readFile(path))),
);
const [picture = new Uint8Array(), other = new Uint8Array()] = pictures;
const explanationsOf = (results: object[]) =>
  results.map((result) => (result as { explanations?: Explanation[] }).explanations ?? []);

it('explain=2 gives the shares of the two leading classes, of many pictures at the same time', async () => {
  const { status, body } = await post(
    `${url}/v1/classify?explain=2`,
    form(['a', 'a.png', picture], ['b', 'b.png', other]),
  );
  expect(status).toBe(200);
  const found = explanationsOf(body.results);
  for (const [i, bytes] of [picture, other].entries()) {
    const leading = (await world.classifier.predict(bytes, { topK: 2 })).map(({ label }) => label);
    expect(found[i]?.map(({ label }) => label)).toEqual(leading);
    for (const explanation of found[i] ?? []) {
      const expected = await world.classifier.explain(bytes, { label: explanation.label });
      expect(explanation.region).toEqual(expected.region);
      expect(explanation.logit).toBeCloseTo(expected.logit, 3);
      const shares = explanation.shares.flat();
      expect(shares.reduce((sum, share) => sum + share / shares.length, 0)).toBeCloseTo(explanation.logit, 4);
      expected.shares.flat().forEach((share, at) => {
        expect(shares[at]).toBeCloseTo(share, 2);
      });
    }
  }
  const plain = await post(`${url}/v1/classify`, picture);
  expect(Object.keys(plain.body.results[0] ?? {}).sort()).toEqual(['predictions', 'typicality', 'unknown']);
});

async function png(query: string, body: FormData, headers: Record<string, string> = {}) {
  return fetch(`${url}/v1/classify${query}`, { method: 'POST', headers: { Accept: 'image/png', ...headers }, body });
}

it('draws them for those who accept a PNG', async () => {
  const response = await png('?explain=2', form(['file', 'a.png', picture]));
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'image/png']);
  const { width, height } = await sharp(await response.arrayBuffer()).metadata();
  expect(width / height).toBeGreaterThan(2);
  const one = await sharp(await (await png('?explain=1', form(['file', 'a.png', picture]))).arrayBuffer()).metadata();
  expect(one.width).toBeLessThan(width);
});

it.each([
  ['?topK=1', () => form(['file', 'a.png', picture]), 400, 'no_png'],
  ['?explain=1', () => form(['a', 'a.png', picture], ['b', 'b.png', other]), 400, 'one_png'],
  ['?explain=11', () => form(['file', 'a.png', picture]), 400, 'bad_request'],
  ['?explain=1', () => form(['file', 'a.png', new Uint8Array(10)]), 422, 'unreadable_picture'],
])('%s is refused where it makes no PNG', async (query, body, status, code) => {
  const response = await png(query, body());
  expect(response.status).toBe(status);
  expect(await response.json()).toMatchObject({ error: { code } });
});

it('is refused for a network that has no map, and tells nothing of files', async () => {
  const model = join(folder, 'maximum.onnx');
  const network = decodeModel(smallNetwork(), model);
  for (const each of graphOf(network, model).node) {
    if (each.opType === 'GlobalAveragePool') each.opType = 'GlobalMaxPool';
  }
  await writeFile(model, encodeModel(network));
  const head = join(folder, 'maximum.safetensors');
  await saveHead(head, madeUpHead(await loadBackbone({ model })));
  const server = await serve({ ...world, model, head }, { store: undefined });
  const { status, body } = await post(`${server.url}/v1/classify?explain=1`, picture);
  expect({ status, code: body.error.code }).toEqual({ status: 400, code: 'no_feature_map' });
  expect(JSON.stringify(body)).not.toContain(folder);
  expect((await post(`${server.url}/v1/classify`, picture)).status).toBe(200);
});
