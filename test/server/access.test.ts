import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { startServer } from '../../src/server/server.js';
import { temporaryFolder } from '../support/files.js';
import { closeServer, makeWorld, post, serve } from '../support/server.js';

const world = await makeWorld(await temporaryFolder(), 4);
const bytes = new Uint8Array(await readFile(world.pictures[0] ?? ''));
afterAll(closeServer);

/** The status of a request to a server under another name than its own. */
function statusUnder(host: string, url: string, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(`${url}${path}`, { headers: { Host: host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });
}

test('with a key, pictures, heads and metrics are for those who have it, and the page and the state for all', async () => {
  const { url } = await serve(world, { apiKey: 'open sesame' });
  const classify = `${url}/v1/classify`;
  expect((await post(classify, bytes)).headers.get('WWW-Authenticate')).toBe('Bearer');
  for (const headers of [{ Authorization: 'Bearer open sesam' }, { 'X-API-Key': 'x' }, {}]) {
    expect((await post(classify, bytes, headers)).status).toBe(401);
  }
  for (const headers of [{ Authorization: 'Bearer open sesame' }, { 'X-API-Key': 'open sesame' }]) {
    expect((await post(classify, bytes, headers)).status).toBe(200);
  }
  const statusOf = async (path: string) => (await fetch(`${url}${path}`)).status;
  for (const path of ['/metrics', '/v1/heads', `/v1/pictures/${'0'.repeat(64)}/thumbnail`]) {
    expect(await statusOf(path)).toBe(401);
  }
  for (const path of ['/', '/page.js', '/healthz', '/readyz', '/openapi.json']) {
    expect(await statusOf(path)).toBe(200);
  }
});

test('without a key, a name of the web that points to this machine is refused', async () => {
  const { url } = await serve(world);
  expect(await statusUnder('evil.example', url, '/v1/heads')).toBe(403);
  expect(await statusUnder('localhost:1', url, '/v1/heads')).toBe(200);
});

test.each([
  [{ host: '0.0.0.0' }, /Other machines can reach the server.*LASTLAYER_API_KEY.*--no-auth/],
  [{ apiKey: 'short' }, /has 5 characters. Use 8 or more/],
  [{ maxBatch: 0 }, /maxBatch is 0/],
  [{ heads: {} }, /No head is given/],
  [{ heads: { 'a/b': 'x' } }, /name "a\/b" may only contain letters/],
])('%j is refused before anything is loaded', async (options, reason) => {
  await expect(startServer({ heads: { a: 'none.safetensors' }, ...options })).rejects.toThrow(reason);
});
