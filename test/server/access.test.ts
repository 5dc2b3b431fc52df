import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { basename, dirname, join } from 'node:path';
import { embedDataset } from '../../src/embed/embed.js';
import { startServer } from '../../src/server/server.js';
import { temporaryFolder } from '../support/files.js';
import { closeServer, makeWorld, post, serve } from '../support/server.js';

const folder = await temporaryFolder();
const world = await makeWorld(folder, 4);
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
  for (const own of ['localhost:1', 'LOCALHOST', '127.0.0.1']) {
    expect(await statusUnder(own, url, '/v1/heads')).toBe(200);
  }
});

test('of a picture outside the folder of the data set, nobody gets to see where it is', async () => {
  const [list, store] = [join(folder, 'lists', 'list.csv'), join(folder, 'list-store')];
  await mkdir(dirname(list));
  const rows = world.pictures.map((path, i) => `${path},${i % 2 === 0 ? 'a' : 'b'}`);
  await writeFile(list, ['path,label', ...rows].join('\n'));
  await embedDataset(list, { backbone: world.classifier.backbone, store });
  const { url } = await serve(world, { store });
  const { body } = await post(`${url}/v1/classify?similar=1`, bytes);
  expect(body.results[0]?.similar).toMatchObject([{ path: basename(world.pictures[0] ?? '') }]);
});

describe('pages of other origins', () => {
  const origin = 'http://localhost:3000';
  const allowed = (headers: Headers) => headers.get('Access-Control-Allow-Origin');
  const ask = (url: string, from: string) =>
    fetch(`${url}/v1/classify`, {
      method: 'OPTIONS',
      headers: {
        Origin: from,
        'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'authorization,content-type',
      },
    });

  test('may use the server if --cors names them, with the key, and get to read its errors', async () => {
    // As a person may write the second one.
    const { url } = await serve(world, { apiKey: 'open sesame', cors: [origin, 'https://Shop.Example:443/'] });
    for (const from of [origin, 'https://shop.example']) {
      const { status, headers } = await ask(url, from);
      expect([status, allowed(headers)]).toEqual([204, from]);
      expect(headers.get('Access-Control-Allow-Methods')).toMatch(/POST/);
      expect(headers.get('Access-Control-Allow-Headers')).toBe('authorization,content-type');
    }
    const key = { Authorization: 'Bearer open sesame' };
    const send = (body: string | typeof bytes, headers: Record<string, string>, path = '/v1/classify') =>
      post(`${url}${path}`, body, { Origin: origin, ...headers });
    const answers = [
      [200, await send(bytes, key)],
      [401, await send(bytes, {})],
      [422, await send('no picture', key)],
      [415, await send('no picture', { ...key, 'Content-Type': 'text/plain' })],
      [404, await send(bytes, key, '/v1/guess')],
      [400, await send(bytes, key, '/v1/classify?topK=x')],
    ] as const;
    for (const [status, answer] of answers) {
      expect([answer.status, allowed(answer.headers), answer.headers.get('Vary')]).toEqual([status, origin, 'Origin']);
    }
    const others = await Promise.all([ask(url, 'http://localhost:3001'), ask(url, 'null')]);
    expect(others.map(({ headers }) => allowed(headers))).toEqual([null, null]);
  });

  test('may all use it with *, and none if nothing is said', async () => {
    const open = await serve(world, { cors: ['*'] });
    expect(allowed((await ask(open.url, 'https://any.example')).headers)).toBe('*');
    const { url } = await serve(world);
    const refused = await ask(url, origin);
    expect([refused.status, allowed(refused.headers)]).toEqual([405, null]);
    expect(await refused.text()).toMatch(/--cors ORIGIN/);
    expect(allowed((await post(`${url}/v1/classify`, bytes, { Origin: origin })).headers)).toBeNull();
  });
});

test.each([
  [{ host: '0.0.0.0' }, /Other machines can reach the server.*LASTLAYER_API_KEY.*--no-auth/],
  [{ apiKey: 'short' }, /has 5 characters. Use 8 or more/],
  [{ maxBatch: 0 }, /maxBatch is 0/],
  [{ heads: {} }, /No head is given/],
  [{ cors: ['localhost:3000'] }, /origin "localhost:3000" of --cors must be a scheme, a host and maybe a port/],
  [{ cors: ['https://a.example/page'] }, /origin "https:\/\/a.example\/page"/],
  [{ cors: ['https://*.a.example'] }, /origin "https:\/\/\*.a.example"/],
  [{ heads: { 'a/b': 'x' } }, /name "a\/b" may only contain letters/],
])('%j is refused before anything is loaded', async (options, reason) => {
  await expect(startServer({ heads: { a: 'none.safetensors' }, ...options })).rejects.toThrow(reason);
});
