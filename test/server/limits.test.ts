import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { temporaryFolder } from '../support/files.js';
import { closeServer, form, makeWorld, post, serve } from '../support/server.js';

const world = await makeWorld(await temporaryFolder(), 4);
const bytes = new Uint8Array(await readFile(world.pictures[0] ?? ''));
const right = (await world.classifier.classify(bytes)).predictions;
afterAll(closeServer);

/** Begins a request over a connection of its own and sends only this much of its body. */
async function slowClient(url: string, length: number, sent: number, headers = ''): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  // A server that has enough of it may cut it off.
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  const head = `POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: ${length}\r\n${headers}\r\n`;
  socket.write(head);
  socket.write(Buffer.alloc(sent));
  return socket;
}

test('more than the server takes on is refused at once, with when to come again; all else is answered rightly', async () => {
  // The three that it takes on wait for more than all others take to come.
  const { url } = await serve(world, { maxQueue: 3, maxWait: 1000 });
  const answers = await Promise.all(Array.from({ length: 40 }, () => post(`${url}/v1/classify?topK=1`, bytes)));
  const [refused, answered] = [429, 200].map((status) => answers.filter((answer) => answer.status === status));
  expect((refused?.length ?? 0) + (answered?.length ?? 0)).toBe(40);
  expect(answered?.length).toBeGreaterThanOrEqual(3);
  expect(refused?.length).toBeGreaterThan(0);
  for (const { headers } of refused ?? []) expect(Number(headers.get('Retry-After'))).toBeGreaterThanOrEqual(1);
  for (const { body } of answered ?? []) {
    expect(body.results[0]?.predictions[0]?.label).toBe(right[0]?.label);
    expect(body.results[0]?.predictions[0]?.probability).toBeCloseTo(right[0]?.probability ?? NaN, 5);
  }
  expect((await post(`${url}/v1/classify`, bytes)).status).toBe(200);
  const four = ['a', 'b', 'c', 'd'].map((name) => [name, name, bytes] as [string, string, typeof bytes]);
  expect(await post(`${url}/v1/classify`, form(...four))).toMatchObject({
    status: 413,
    body: { error: { message: 'The request has 4 pictures; at most 3 are allowed.' } },
  });
});

/** What comes over a connection, up to the end of what is expected. */
async function answerOf(socket: Socket, end: RegExp): Promise<string> {
  let text = '';
  while (!end.test(text)) {
    const [chunk] = (await once(socket, 'data', { signal: AbortSignal.timeout(10_000) })) as [Buffer];
    text += chunk.toString();
  }
  return text;
}

/** Starts a server with one picture that waits for others. */
async function busyServer(maxQueue: number) {
  const { url } = await serve(world, { maxQueue, maxWait: 2000 });
  const waiting = post(`${url}/v1/classify`, bytes);
  const queue = async () => (await fetch(`${url}/metrics`)).text();
  while (!/^lastlayer_queue_pictures 1$/m.test(await queue()));
  return { url, waiting };
}

test('who finds no place is refused before the body comes, and the connection serves the next request', async () => {
  const { url, waiting } = await busyServer(2);
  // A body that comes takes the other place.
  const coming = await slowClient(url, 300_000, 10);
  const held = `\nlastlayer_held_bytes ${bytes.length + 10}\n`;
  while (!(await (await fetch(`${url}/metrics`)).text()).includes(held));
  const socket = await slowClient(url, 300_000, 10);
  const refusal = await answerOf(socket, /overloaded/);
  expect(refusal).toMatch(/^HTTP\/1.1 429 .*\r\nretry-after: \d+\r\n/is);
  expect(refusal).not.toMatch(/connection: close/i);
  socket.write(Buffer.alloc(299_990));
  socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
  expect(await answerOf(socket, /\}/)).toMatch(/^HTTP\/1.1 200 /);
  socket.destroy();
  coming.destroy();
  expect((await waiting).body.results[0]?.predictions[0]?.label).toBe(right[0]?.label);
});

test('a client that asks first whether to send its body is refused without it, or told to send it', async () => {
  const { url, waiting } = await busyServer(1);
  const ask = () => slowClient(url, bytes.length, 0, 'Expect: 100-continue\r\n');
  const refused = await ask();
  const closed = once(refused, 'close');
  expect(await answerOf(refused, /overloaded/)).toMatch(/^HTTP\/1.1 429 .*\r\nconnection: close\r\n/is);
  await closed;
  expect((await waiting).status).toBe(200);
  const taken = await ask();
  expect(await answerOf(taken, /\r\n\r\n/)).toBe('HTTP/1.1 100 Continue\r\n\r\n');
  taken.write(bytes);
  expect(await answerOf(taken, /results/)).toMatch(/^HTTP\/1.1 200 /);
  taken.destroy();
});

test('clients that send slowly are cut off in time, and keep no one else from being answered', async () => {
  const { url } = await serve(world, { timeout: 2000, maxQueue: 3 });
  const slow = await Promise.all(Array.from({ length: 50 }, () => slowClient(url, 100_000, 1000)));
  const ended = slow.map(async (socket) => {
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    return chunk.toString().split('\r\n')[0];
  });
  for (let i = 0; i < 5; i++) expect((await post(`${url}/v1/classify`, bytes)).status).toBe(200);
  expect(new Set(await Promise.all(ended))).toEqual(new Set(['HTTP/1.1 408 Request Timeout']));
  for (const socket of slow) socket.destroy();
});

test('the bodies of all requests together have a limit, and it is free again when a client goes', async () => {
  const { url } = await serve(world, { maxHeld: 1_000_000 });
  const held = async () => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(/^lastlayer_held_bytes (.*)$/m.exec(text)?.[1]);
  };
  const until = async (bytes: number) => {
    while ((await held()) !== bytes) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  const socket = await slowClient(url, 2_000_000, 995_000);
  await until(995_000);
  expect((await post(`${url}/v1/classify`, bytes)).status).toBe(429);
  socket.destroy();
  await until(0);
  expect((await post(`${url}/v1/classify`, bytes)).status).toBe(200);
});
