import { readFile } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Validator } from '@seriousme/openapi-schema-validator';
import sharp from 'sharp';
import { saveHead } from '../../src/head/file.js';
import { temporaryFolder } from '../support/files.js';
import { hardlyTypical } from '../support/hardly-typical.js';
import { closeServer, form, makeWorld, post, serve } from '../support/server.js';

const folder = await temporaryFolder();
const world = await makeWorld(folder, 8);
const { head } = world.classifier;

// The same classes under other thresholds and names, each label by itself.
const tags = join(folder, 'tags.safetensors');
const labels = head.labels.map((label) => `is ${label}`);
const multilabel = head.with({ kind: 'multilabel', labels, thresholds: [0.2, 0.2, 0.2], unknown: null });
await saveHead(tags, multilabel);

const { url } = await serve(world, {
  heads: { stripes: world.head, tags },
  maxPixels: 1e6,
  maxBody: 2 ** 20,
  // So long that pictures which come at the same time share a batch.
  maxWait: 100,
});
afterAll(closeServer);
const classify = `${url}/v1/classify`;

const [first = '', second = ''] = [world.pictures[0], world.pictures.at(-1)];
const bytesOf = async (path: string) => new Uint8Array(await readFile(path));
const close = (probability: number) => expect.closeTo(probability, 5) as number;

/** What the classifier says, as the server should. */
async function expected(path: string, topK: number) {
  const { predictions, typicality, unknown } = await world.classifier.classify(path, { topK });
  const close5 = predictions.map(({ label, probability }) => ({ label, probability: close(probability) }));
  return { predictions: close5, typicality, unknown };
}

describe('a picture as the body', () => {
  test('is answered as the classifier does', async () => {
    const { status, body } = await post(`${classify}?topK=2`, await bytesOf(first));
    expect(status).toBe(200);
    expect(body).toEqual({
      head: { name: 'stripes', id: expect.stringMatching(/^stripes@[0-9a-f]{12}$/) as string },
      results: [await expected(first, 2)],
    });
  });

  test('is taken whatever type of picture its sender calls it', async () => {
    for (const type of ['image/jpeg', 'application/octet-stream']) {
      expect((await post(classify, await bytesOf(first), { 'Content-Type': type })).status).toBe(200);
    }
  });

  test('goes to the head that the address names; of several labels, those above their threshold are given', async () => {
    const { body } = await post(`${url}/v1/heads/tags/classify`, await bytesOf(second));
    const answer = await world.classifier.backbone.run(await pixelsOf(second));
    expect(body.head.name).toBe('tags');
    expect(body.results[0]?.labels).toEqual(multilabel.labelsOf(answer.embedding)[0]);
    expect(body.results[0]?.labels?.length).toBeGreaterThan(0);
    expect(body.results[0]).toMatchObject({ typicality: null, unknown: false });
  });
});

async function pixelsOf(path: string): Promise<Uint8Array> {
  const { decodeImage } = await import('../../src/image/decode.js');
  return (await decodeImage(await readFile(path), world.classifier.backbone.transform)).pixels;
}

describe('several pictures as a form', () => {
  test('are answered in their order by field and name, and one that cannot be read is told of in its place', async () => {
    const names = ['a.png', 'no picture.txt', 'b.png'];
    const broken = (await bytesOf(first)).slice(0, 300);
    const { status, body } = await post(
      `${classify}?topK=3`,
      form(
        ['file', 'a.png', await bytesOf(first)],
        ['other', 'no picture.txt', broken],
        ['file', 'b.png', await bytesOf(second)],
      ),
    );
    expect(status).toBe(200);
    expect(body.results.map(({ filename }) => filename)).toEqual(names);
    expect(body.results.map(({ field }) => field)).toEqual(['file', 'other', 'file']);
    expect(body.results[0]).toMatchObject(await expected(first, 3));
    expect(body.results[1]).toEqual({
      ...{ field: 'other', filename: 'no picture.txt' },
      error: {
        code: 'unreadable_picture',
        message: expect.stringMatching(/not a readable picture/) as string,
      },
    });
    expect(body.results[2]).toMatchObject(await expected(second, 3));
  });

  test('a path as the file name is a name and nothing more', async () => {
    const paths = ['../../etc/passwd', '/etc/passwd', 'C:\\Windows\\win.ini'];
    const bytes = await bytesOf(first);
    const files = paths.map((path) => ['file', path, bytes] as [string, string, Uint8Array<ArrayBuffer>]);
    const { status, body } = await post(classify, form(...files));
    expect(status).toBe(200);
    expect(body.results.map(({ filename }) => filename)).toEqual(['passwd', 'passwd', 'win.ini']);
    expect(body.results[0]).toMatchObject(await expected(first, 3));
  });
});

test('many requests at the same time each get the answer to their own picture', async () => {
  const answers = await Promise.all(
    world.pictures.map(async (path) => [path, await post(`${classify}?topK=3`, await bytesOf(path))] as const),
  );
  for (const [path, { body }] of answers) expect(body.results[0]).toMatchObject(await expected(path, 3));
  // Else an answer that was mixed up could not be told.
  const probabilities = answers.map(([, { body }]) => body.results[0]?.predictions[0]?.probability);
  expect(new Set(probabilities).size).toBe(world.pictures.length);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const figure = (name: string) =>
    Number(new RegExp(`^lastlayer_batch_pictures_${name} (.*)$`, 'm').exec(metrics)?.[1]);
  expect(figure('sum')).toBeGreaterThan(figure('count'));
  expect(metrics).toMatch(/^lastlayer_queue_pictures 0$/m);
});

describe('what is no picture is refused:', () => {
  const bomb = sharp({ create: { width: 8000, height: 8000, channels: 3, background: '#777' } });
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300"><rect width="9" height="9"/></svg>';
  test.each<[string, () => Promise<Uint8Array | string>, string, number, RegExp]>([
    ['a text', async () => Promise.resolve('hello'), 'image/png', 422, /not a readable picture/],
    ['half a picture', async () => (await bytesOf(first)).slice(0, 900), 'image/png', 422, /not a readable picture/],
    [
      'a decompression bomb',
      async () => bomb.png().toBuffer(),
      'image/png',
      422,
      /8000 × 8000 pixels are more than the 1 million/,
    ],
    ['an SVG', async () => Promise.resolve(svg), 'image/svg+xml', 422, /SVG is not accepted/],
    ['nothing', async () => Promise.resolve(''), 'image/png', 400, /body is empty/],
    [
      'another type',
      async () => Promise.resolve('a=1'),
      'text/plain',
      415,
      /is text\/plain.*Content-Type: image\/jpeg/,
    ],
    [
      'base64 that is called a picture',
      async () => base64Of(first),
      'image/png',
      422,
      /it is base64 text; decode it first/,
    ],
    [
      'a broken form',
      async () => Promise.resolve('--x\r\nab'),
      'multipart/form-data; boundary=x',
      400,
      /form cannot be read/,
    ],
    [
      'a large body',
      async () => Promise.resolve(' '.repeat(2 ** 20 + 1)),
      'image/png',
      413,
      /larger than 1048576 bytes/,
    ],
  ])('%s', async (_name, bytes, type, status, message) => {
    const answer = await post(classify, (await bytes()) as string, { 'Content-Type': type });
    expect({ status: answer.status, message: answer.body.error.message }).toEqual({
      status,
      message: expect.stringMatching(message) as string,
    });
    expect((await post(classify, await bytesOf(first))).status).toBe(200);
  });

  test('a form whose files are together too large', async () => {
    const half = new Uint8Array(600_000);
    expect((await post(classify, form(['a', 'a', half], ['b', 'b', half]))).status).toBe(413);
  });

  test('a form with text in place of a file, or beside one, where it would be passed over', async () => {
    const [only, beside] = [new FormData(), form(['file', 'a.png', await bytesOf(first)])];
    // As `curl -F file=a.png` sends it, without the @.
    only.append('file', 'a.png');
    beside.append('topK', '2');
    expect(await post(classify, only)).toMatchObject({
      status: 400,
      body: {
        error: { code: 'no_picture', message: expect.stringMatching(/only text in "file".*-F file=@/) as string },
      },
    });
    expect(await post(classify, beside)).toMatchObject({
      status: 400,
      body: { error: { code: 'unknown_field', message: expect.stringMatching(/"topK".*\?topK=2/) as string } },
    });
  });

  test('a form that does not say where its parts end, and one of too many files', async () => {
    const type = { 'Content-Type': 'multipart/form-data' };
    expect((await post(classify, 'x', type)).body.error.message).toMatch(/Do not set Content-Type yourself/);
    const many = Array.from(
      { length: 65 },
      () => ['a', 'a', new Uint8Array(1)] as [string, string, Uint8Array<ArrayBuffer>],
    );
    expect(await post(classify, form(...many))).toMatchObject({
      status: 413,
      body: { error: { message: 'A request may have at most 64 pictures.' } },
    });
  });

  test('a compressed body, before it is unpacked', async () => {
    const zipped = new Uint8Array(gzipSync(await readFile(first)));
    const answer = await post(classify, zipped, { 'Content-Encoding': 'gzip' });
    expect(answer.status).toBe(415);
    expect(answer.headers.get('Accept-Encoding')).toBe('identity');
    expect(answer.body.error.message).toMatch(/Content-Encoding: gzip/);
    expect((await post(classify, await bytesOf(first), { 'Content-Encoding': 'identity' })).status).toBe(200);
  });
});

const base64Of = async (path: string) => (await readFile(path)).toString('base64');
const postJson = (body: string) =>
  post(`${classify}?topK=3`, body, { 'Content-Type': 'application/json; charset=utf-8' });

describe('pictures in JSON', () => {
  test('are taken as base64, also in lines and with the characters of addresses, and as data: URLs', async () => {
    const text = await base64Of(second);
    const pictures = [
      text,
      `data:image/png;base64,${text}`,
      text.replace(/.{76}/g, '$&\r\n'),
      (await readFile(second)).toString('base64url'),
      await base64Of(first),
    ];
    const { status, body } = await postJson(JSON.stringify({ pictures }));
    expect(status).toBe(200);
    const [right, other] = [await expected(second, 3), await expected(first, 3)];
    expect(body.results).toEqual([right, right, right, right, other]);
  });

  test.each([
    ['{"pictures": [', /no JSON/],
    ['[]', /no JSON object/],
    ['{"image": "YQ=="}', /field "image", which is not known/],
    ['{"pictures": ["YQ=="], "topK": 2}', /field "topK"/],
    ['{"__proto__": {"pictures": ["YQ=="]}}', /field "__proto__"/],
    ['{"pictures": "YQ=="}', /no list of pictures/],
    ['{"pictures": []}', /no list of pictures/],
    ['{"pictures": ["YQ==", 1]}', /pictures\[1\] is no text/],
    ['{"pictures": ["https://a.example/b.jpg"]}', /pictures\[0\] is an address/],
    ['{"pictures": ["YQ==!"]}', /pictures\[0\] is no base64/],
    ['', /body is empty/],
  ])('%s is refused with a reason', async (text, reason) => {
    const { status, body } = await postJson(text);
    expect(status).toBe(400);
    expect(body.error.message).toMatch(reason);
  });

  test('that are none are refused as elsewhere, and so is what is too large', async () => {
    expect((await postJson('{"pictures": ["YQ=="]}')).status).toBe(422);
    expect((await postJson(JSON.stringify({ pictures: ['A'.repeat(2 ** 20)] }))).status).toBe(413);
    // Would take minutes if each blank were looked at more than once or twice.
    expect((await postJson(`{"pictures": ["${' '.repeat(1_000_000)}!"]}`)).status).toBe(400);
  });
});

test.each([
  ['/v1/heads/other/classify', 404, /no head "other"\. Use one of: stripes, tags/],
  ['/v1/classify?topK=0', 400, /topK is 0; it must be a whole number from 1 to 1000/],
  ['/v1/classify?topK=two', 400, /topK is "two"/],
  ['/v1/classify?topk=2', 400, /no parameter "topk"\. Use one of: topK, similar/],
  ['/v1/heads', 405, /\/v1\/heads takes GET, HEAD, not POST/],
  ['/v1/guess', 404, /openapi\.json/],
])('%s is refused with a reason', async (path, status, reason) => {
  const answer = await post(`${url}${path}`, await bytesOf(first));
  expect(answer.status).toBe(status);
  expect(answer.body.error.message).toMatch(reason);
});

test('a wrong method is told which are right; a slash at the end does not matter', async () => {
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
    const answer = await fetch(`${url}/v1/heads/tags/classify`, { method });
    expect([answer.status, answer.headers.get('Allow')]).toEqual([405, 'POST']);
  }
  expect((await fetch(`${url}/`, { method: 'HEAD' })).status).toBe(200);
  expect((await fetch(`${url}/v1/heads/`)).status).toBe(200);
  expect((await post(`${classify}/?topK=1`, await bytesOf(first))).status).toBe(200);
});

test('similar pictures come with thumbnails, by the digest of their bytes and by no path', async () => {
  const { body } = await post(`${classify}?similar=3`, await bytesOf(second));
  const similar = body.results[0]?.similar ?? [];
  expect(similar).toHaveLength(3);
  expect(similar[0]).toMatchObject({ label: 'slanted', similarity: close(1), path: relative(folder, second).slice(5) });
  expect(JSON.stringify(body)).not.toContain(basename(folder));
  const thumbnail = (id: string) => fetch(`${url}/v1/pictures/${id}/thumbnail`);
  const webp = await thumbnail(similar[0]?.id ?? '');
  expect(webp.headers.get('Content-Type')).toBe('image/webp');
  expect(await sharp(await webp.arrayBuffer()).metadata()).toMatchObject({ width: 80, height: 64 });
  expect((await thumbnail('0'.repeat(64))).status).toBe(404);
  expect((await thumbnail(encodeURIComponent('../../../etc/passwd'))).status).toBe(400);
});

test('the heads are listed with how good they are, and the state is told', async () => {
  const { crossValidation } = head.metrics as { crossValidation: { outOfFold: { accuracy: number } } };
  const baseline = {
    label: expect.stringMatching(/^(flat|steep|slanted)$/) as string,
    accuracy: close(1 / 3),
    headAccuracy: close(crossValidation.outOfFold.accuracy),
    pictures: 24,
    clearlyBetter: true,
  };
  expect(await (await fetch(`${url}/v1/heads`)).json()).toMatchObject({
    heads: [
      { name: 'stripes', kind: 'softmax', labels: [...head.labels], modelId: head.modelId, baseline },
      { name: 'tags', kind: 'multilabel', labels, baseline: null },
    ],
    similar: true,
  });
  expect(await (await fetch(`${url}/healthz`)).json()).toEqual({ status: 'ok' });
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
});

test('the description is valid OpenAPI and names what is there', async () => {
  const description = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: object; servers: object };
  expect(description.servers).toEqual([{ url: '.' }]);
  expect(await new Validator().validate(description)).toMatchObject({ valid: true });
  expect(Object.keys(description.paths).sort()).toEqual([
    ...['/healthz', '/metrics', '/readyz', '/v1/classify', '/v1/heads'],
    ...['/v1/heads/{name}/classify', '/v1/pictures/{id}/thumbnail'],
  ]);
});

test('the rate of unknown pictures can be set for the server, and none can be called so', async () => {
  const unlike = join(folder, 'unlike.safetensors');
  await saveHead(unlike, hardlyTypical(head));
  const heads = { unlike, tags };
  for (const [unknown, isUnknown] of [
    [0.2, true],
    ['off', false],
  ] as const) {
    const { url } = await serve(world, { heads, unknown });
    const { body } = await post(`${url}/v1/classify`, await bytesOf(first));
    expect(body.results[0]).toMatchObject({ typicality: 0.1, unknown: isUnknown });
  }
  await expect(serve(world, { heads, unknown: 0 })).rejects.toThrow(/rate of unknown pictures is 0\. It must be/);
  await saveHead(unlike, head.with({ unknown: null }));
  await expect(serve(world, { heads, unknown: 0.2 })).rejects.toThrow(
    /unlike\.safetensors: .*without cross-validation/,
  );
});
