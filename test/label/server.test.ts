import { randomUUID, webcrypto } from 'node:crypto';
import { once } from 'node:events';
import { chmod, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import sharp from 'sharp';
import type { AddAnswer, LabelEvent, Session } from '../../src/label/protocol.js';
import { temporaryFolder } from '../support/files.js';
import { Client, saidOf, unlabelledPictures, until } from '../support/labelling.js';

const { subtle } = webcrypto;

let client: Client;
// Before the folder goes.
afterAll(() => client.running.close());

const folder = await temporaryFolder();
const photos = join(folder, 'photos');
await unlabelledPictures(photos, 3);
await writeFile(join(photos, 'torn.jpg'), 'not a picture');
await sharp({ create: { width: 40, height: 20, channels: 3, background: 'red' } })
  .tiff()
  .toFile(join(photos, 'z.tiff'));

beforeAll(async () => {
  client = await Client.start(folder, { dataset: photos, labels: ['flat', 'steep'] });
});

/** The status of a request with these headers. */
function statusOf(path: string, headers: Record<string, string>, method = 'GET'): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(client.url + path, { method, headers }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });
}

test('only this machine can reach it, and only with the token, under its own name and from its own pages', async () => {
  expect(new URL(client.url).hostname).toBe('127.0.0.1');
  const token = client.headers['X-Token'];
  const guarded: [string, string][] = [
    ['GET', '/api/session'],
    ['GET', '/api/events'],
    ['GET', '/api/suggestions'],
    ['GET', '/api/queues/next'],
    ['GET', '/api/accept'],
    ['GET', '/api/findings'],
    ['GET', '/api/similar/0'],
    ['GET', '/thumbnails/0'],
    ['GET', '/pictures/0'],
    ['POST', '/api/actions'],
    ['POST', '/api/pictures'],
    ['POST', '/api/save'],
  ];
  for (const [method, path] of guarded) {
    for (const wrong of ['', token.slice(1), `${token}x`, '0'.repeat(token.length)]) {
      expect(await statusOf(path, { 'X-Token': wrong }, method)).toBe(401);
    }
    expect(await statusOf(path, { 'X-Start': randomUUID() }, method)).toBe(401);
    expect(await statusOf(path, client.headers, method)).not.toBe(401);
  }
  for (const origin of ['http://evil.example', 'null', client.url.replace('http', 'https'), 'http://127.0.0.1:1']) {
    expect(await statusOf('/api/session', { ...client.headers, Origin: origin })).toBe(403);
  }
  expect(await statusOf('/api/session', { ...client.headers, Origin: client.url })).toBe(200);
  expect(await statusOf('/api/session', { ...client.headers, Host: 'evil.example' })).toBe(403);
  const { headers } = await fetch(`${client.url}/api/session`, { headers: client.headers });
  expect(headers.get('Access-Control-Allow-Origin')).toBeNull();
});

test('a server shows that it knows the token without telling it, and its start stands for the token until its end', async () => {
  const { port, start } = await client.session();
  expect(port).toBe(Number(new URL(client.url).port));
  const proofFor = async (nonce: string) => (await fetch(`${client.url}/api/proof?nonce=${nonce}`)).json();
  const secret = Buffer.from(client.headers['X-Token']);
  const key = await subtle.importKey('raw', secret, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  const proof = Buffer.from(await subtle.sign('HMAC', key, Buffer.from(`once ${port}`))).toString('hex');
  expect(await proofFor('once')).toEqual({ proof });
  expect(await proofFor('twice')).not.toEqual({ proof });
  expect(await statusOf('/api/proof?nonce=once', { Origin: 'http://evil.example' })).toBe(403);
  expect(await statusOf(`/thumbnails/0?start=${start}`, {})).toBe(200);
  expect(await statusOf('/api/suggestions', { 'X-Start': start })).toBe(200);
  expect(await statusOf(`/thumbnails/0?start=${start}0`, {})).toBe(401);
});

test('a thumbnail is made once, upright and small, and a picture is sent in a form that browsers show', async () => {
  const { pictures } = await client.session();
  const numberOf = (name: string) => pictures.name.indexOf(name);
  const bytesOf = async (path: string) => {
    const response = await fetch(client.url + path, { headers: client.headers });
    return { type: response.headers.get('Content-Type'), bytes: Buffer.from(await response.arrayBuffer()) };
  };
  const thumbnail = await bytesOf(`/thumbnails/${numberOf('flat-0.png')}`);
  expect(thumbnail.type).toBe('image/webp');
  expect(await sharp(thumbnail.bytes).metadata()).toMatchObject({ format: 'webp', width: 80, height: 64 });
  const cached = (await readdir(join(process.env['LASTLAYER_HOME'] ?? '', 'thumbnails'), { recursive: true })).filter(
    (name) => name.endsWith('.webp'),
  );
  expect(cached).toHaveLength(1);
  expect(await bytesOf(`/thumbnails/${numberOf('flat-0.png')}`)).toEqual(thumbnail);

  const png = await bytesOf(`/pictures/${numberOf('flat-0.png')}`);
  expect(png).toEqual({ type: 'image/png', bytes: await readFile(join(photos, 'flat-0.png')) });
  const tiff = await bytesOf(`/pictures/${numberOf('z.tiff')}`);
  expect(tiff.type).toBe('image/webp');
  expect(await sharp(tiff.bytes).metadata()).toMatchObject({ width: 40, height: 20 });

  const torn = numberOf('torn.jpg');
  expect(pictures.problem[torn]).toMatch(/no picture/);
  expect(await statusOf(`/thumbnails/${torn}`, client.headers)).toBe(422);
  for (const path of ['/thumbnails/99', '/pictures/-1', '/pictures/1.5', '/pictures/x']) {
    expect(await statusOf(path, client.headers)).toBe(404);
  }
});

/** What a page makes of the session that it has asked for, and of the events since. */
function follow({ pictures, classes, ...session }: Session, events: readonly LabelEvent[]): Session {
  const copy: { -readonly [K in keyof Session]: Session[K] } = structuredClone({ ...session, pictures, classes });
  const columns = copy.pictures as unknown as Record<string, unknown[]>;
  for (const event of events) {
    if (event.kind !== 'change' && event.kind !== 'added') continue;
    expect(event.seq).toBe(copy.seq + 1);
    copy.seq = event.seq;
    copy.classes = event.classes ?? copy.classes;
    copy.canUndo = event.canUndo;
    copy.canRedo = event.canRedo;
    if (event.kind === 'change') {
      for (const name of ['labels', 'labelled', 'leftOut', 'split'] as const) {
        event.pictures.forEach((picture, i) => columns[name]?.splice(picture, 1, event[name][i]));
      }
    } else {
      expect(event.first).toBe(copy.pictures.name.length);
      for (const [name, column] of Object.entries(event.pictures)) columns[name]?.push(...(column as unknown[]));
    }
  }
  return copy;
}

test('two pages that follow the events stay in step with the session, and one that was away catches up', async () => {
  const before = await client.session();
  const [one, other] = [client.events(before.seq), client.events(before.seq)];
  await until(() => one.events.length > 0 && other.events.length > 0);
  await client.act({ kind: 'label', pictures: [0, 1], label: 'flat' });
  await client.act({ kind: 'label', pictures: [2, 3], label: 'wavy' });
  other.close();
  const away = follow(before, other.events);
  await client.act({ kind: 'rename-class', name: 'wavy', to: 'steep' });
  await client.act({ kind: 'undo' });
  const shot = new Uint8Array(
    await sharp({ create: { width: 32, height: 32, channels: 3, background: 'blue' } })
      .png()
      .toBuffer(),
  );
  await client.upload('/api/pictures?label=flat', [['shot.png', shot]]);
  await client.act({ kind: 'leave-out', pictures: [4], out: true });
  const now = await client.session();
  const back = client.events(away.seq);
  const last = (events: readonly LabelEvent[]) => events.findLast((event) => 'seq' in event)?.seq;
  await until(() => last(one.events) === now.seq && last(back.events) === now.seq);
  const { classifier: _, ...expected } = now;
  for (const page of [follow(before, one.events), follow(away, back.events)]) {
    const { classifier: __, ...seen } = page;
    expect(seen).toEqual(expected);
  }
  expect(saidOf(now)['flat/shot.png']).toBe('flat');
  const stranger = client.events(now.seq + 5);
  await until(() => stranger.events.length > 0);
  expect(stranger.events[0]).toEqual({ kind: 'reset' });
  for (const { close } of [one, back, stranger]) close();
});

test('added pictures are saved beside those of their class, never over another file, and a refused one is told', async () => {
  const shotOf = async (background: string) => {
    const create = { width: 30, height: 30, channels: 3, background } as const;
    return new Uint8Array(await sharp({ create }).jpeg().toBuffer());
  };
  const [one, two] = [await shotOf('#123456'), await shotOf('#654321')];
  const first = await client.session();
  const answer = await client.upload('/api/pictures?label=flat&id=drop', [
    ['shot.jpg', one],
    ['../../shot.jpg', two],
    ['again.jpg', one],
    ['notes.txt', two],
    ['broken.jpg', Uint8Array.of(1, 2, 3)],
  ]);
  const count = first.pictures.name.length;
  expect(answer).toEqual({
    seq: first.seq + 1,
    pictures: [count, count + 1],
    refused: [
      { name: 'again.jpg', reason: 'it is there already' },
      { name: 'notes.txt', reason: expect.stringMatching(/there already|does not end/) as string },
      { name: 'broken.jpg', reason: expect.stringMatching(/no picture/) as string },
    ],
  });
  // The same request again, as after a lost answer.
  expect(await client.upload('/api/pictures?label=flat&id=drop', [['shot.jpg', one]])).toEqual(answer);
  expect(await readFile(join(photos, 'flat', 'shot.jpg'))).toEqual(Buffer.from(one));
  expect(await readFile(join(photos, 'flat', 'shot (2).jpg'))).toEqual(Buffer.from(two));
  await client.act({ kind: 'undo' });
  const { pictures } = await client.session();
  expect(pictures.leftOut.slice(count)).toEqual([true, true]);
  expect(await readdir(join(photos, 'flat'))).toContain('shot.jpg');
  await rm(join(photos, 'flat'), { recursive: true });
});

test('a form that breaks off leaves no picture behind', async () => {
  const before = await client.session();
  const data = await sharp(join(photos, 'z.tiff')).negate().jpeg().toBuffer();
  const part = (name: string) =>
    `--x\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: image/jpeg\r\n\r\n`;
  const response = await fetch(`${client.url}/api/pictures?label=flat`, {
    method: 'POST',
    headers: { ...client.headers, 'Content-Type': 'multipart/form-data; boundary=x' },
    body: Buffer.concat([
      Buffer.from(part('whole.jpg')),
      data,
      Buffer.from(`\r\n${part('half.jpg')}`),
      data.subarray(9),
    ]),
  });
  expect(response.status).toBe(400);
  expect(await readdir(photos)).not.toContain('flat');
  expect((await client.session()).seq).toBe(before.seq);
});

test('of a form, a file that is too large is refused alone; too many are refused as a whole', async () => {
  const before = await client.session();
  const small = new Uint8Array(await sharp(join(photos, 'z.tiff')).blur(5).png().toBuffer());
  const answer = await client.upload<AddAnswer>('/api/pictures', [
    ['large.tiff', new Uint8Array(2 ** 26 + 1)],
    ['small.png', small],
  ]);
  expect(answer).toMatchObject({
    pictures: [before.pictures.name.length],
    refused: [{ name: 'large.tiff', reason: 'it is larger than 64 MiB' }],
  });
  const many = Array.from({ length: 1001 }, (_, i) => [`${i}.png`, small] as const);
  expect(await client.upload('/api/pictures', many)).toEqual({
    error: { code: 'too_many_pictures', message: 'A form may have at most 1000 files. Send several forms.' },
  });
  expect((await client.session()).seq).toBe(before.seq + 1);
  expect(await readdir(photos)).not.toContain('0.png');
});

test('a form that arrives slowly keeps no other waiting', async () => {
  const data = await sharp(join(photos, 'z.tiff')).rotate(90).jpeg().toBuffer();
  const head =
    '--x\r\nContent-Disposition: form-data; name="file"; filename="slow.jpg"\r\nContent-Type: image/jpeg\r\n\r\n';
  const slow = request(`${client.url}/api/pictures`, {
    method: 'POST',
    headers: { ...client.headers, 'Content-Type': 'multipart/form-data; boundary=x' },
  });
  const answered = once(slow, 'response') as Promise<[IncomingMessage]>;
  slow.write(Buffer.concat([Buffer.from(head), data.subarray(0, 50)]));
  const other = await client.upload<AddAnswer>('/api/pictures', [
    ['quick.png', new Uint8Array(await sharp(join(photos, 'z.tiff')).negate().png().toBuffer())],
  ]);
  expect(other.pictures).toHaveLength(1);
  slow.end(Buffer.concat([data.subarray(50), Buffer.from('\r\n--x--\r\n')]));
  const [response] = await answered;
  expect(JSON.parse(Buffer.concat(await response.toArray()).toString())).toMatchObject({
    pictures: [(other.pictures[0] ?? 0) + 1],
    refused: [],
  });
  expect(await readFile(join(photos, 'slow.jpg'))).toEqual(data);
});

test('a server that is started again has the same address, and takes no numbers of pictures from before', async () => {
  const dataset = join(folder, 'restarted');
  await unlabelledPictures(dataset, 2);
  const options = { dataset, labels: ['flat', 'steep'] };
  const before = await Client.start(folder, options);
  const { start, pictures } = await before.session();
  await before.running.close();
  const tokens = join(process.env['LASTLAYER_HOME'] ?? '', 'label-tokens');
  const kept = await Promise.all((await readdir(tokens)).map((name) => readFile(join(tokens, name), 'utf8')));
  expect(kept).toContain(before.headers['X-Token']);
  for (const name of await readdir(tokens)) expect((await stat(join(tokens, name))).mode & 0o777).toBe(0o600);
  expect(await readFile(join(folder, 'restarted.labels.jsonl'), 'utf8')).not.toContain(before.headers['X-Token']);
  // Before all others, so that these have other numbers.
  await writeFile(join(dataset, 'a.png'), await readFile(join(photos, 'flat-1.png')));
  const after = await Client.start(folder, { ...options, port: Number(new URL(before.url).port) });
  try {
    expect(after.running.url).toBe(before.running.url);
    const said = await fetch(`${after.url}/api/actions`, {
      method: 'POST',
      headers: { ...after.headers, 'X-Start': start, 'Content-Type': 'application/json' },
      body: JSON.stringify({ id: 'late', action: { kind: 'label', pictures: [0], label: 'flat' } }),
    });
    expect([said.status, await said.json()]).toEqual([
      409,
      { error: { code: 'restarted', message: expect.stringContaining('Ask for the session again') as string } },
    ]);
    expect((await fetch(`${after.url}/thumbnails/0?start=${start}`, { headers: after.headers })).status).toBe(409);
    const now = await after.session();
    expect(now.start).not.toBe(start);
    expect(now.pictures.name).toEqual(['a.png', ...pictures.name]);
    expect(now.pictures.labelled).not.toContain(true);
    expect((await fetch(`${after.url}/thumbnails/0?start=${now.start}`, { headers: after.headers })).status).toBe(200);
  } finally {
    await after.running.close();
  }
  // Where others could have read it, or it is another's, there is a new one.
  for (const name of await readdir(tokens)) await chmod(join(tokens, name), 0o644);
  const third = await Client.start(folder, options);
  await third.running.close();
  expect(third.headers['X-Token']).not.toBe(before.headers['X-Token']);
});
