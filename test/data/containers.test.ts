import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { basename, join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { connect } from '@lancedb/lancedb';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { pack } from 'tar-stream';
import { loadBackbone } from '../../src/backbone/load.js';
import { openDataset } from '../../src/data/open.js';
import { embedDataset } from '../../src/embed/embed.js';
import type { EmbeddingRow } from '../../src/store/row.js';
import { lastlayerProcess } from '../support/command-line.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';
import { storedRows } from '../support/store.js';

const root = await temporaryFolder();
await writeFile(join(root, 'small.onnx'), smallNetwork());
const backbone = await loadBackbone({ model: join(root, 'small.onnx') });
const folder = join(root, 'files');
const files = await stripedDataset(folder, { train: { flat: 4, steep: 3 } });
await embed(folder, 'files');

/** Label, digest and embedding of each picture, by digest: what a data set comes to however it is kept. */
const expected = essence(await storedRows(join(root, 'files-store')));

function embed(dataset: string, name: string) {
  return embedDataset(dataset, { backbone, store: join(root, `${name}-store`) });
}

function essence(rows: readonly EmbeddingRow[]) {
  return rows
    .map(({ label, sha256, width, height, embedding, error }) => ({
      label,
      sha256,
      width,
      height,
      embedding,
      error,
    }))
    .sort((a, b) => ((a.sha256 ?? '') < (b.sha256 ?? '') ? -1 : 1));
}

function labelOf(path: string): string {
  return relative(join(folder, 'train'), path).split('/')[0] ?? '';
}

/** A .tar of these members. */
async function writeTar(path: string, members: readonly [name: string, content: Buffer | string][]): Promise<void> {
  const archive = pack();
  for (const [name, content] of members) archive.entry({ name }, content);
  archive.finalize();
  await pipeline(archive, createWriteStream(path));
}

describe('WebDataset shards', () => {
  const shards = join(root, 'shards');

  beforeAll(async () => {
    await mkdir(shards);
    for (const shard of [0, 1]) {
      const members: [string, Buffer | string][] = [];
      for (const [i, path] of files.entries()) {
        if (i % 2 !== shard) continue;
        // Names longer than a header holds, and labels both ways.
        const name = `${'deep/'.repeat(30)}${i}`;
        members.push([`${name}.png`, await readFile(path)]);
        if (i < 3) members.push([`${name}.cls`, `${labelOf(path)}\n`], [`${name}.txt`, 'a caption']);
        else members.push([`${name}.json`, JSON.stringify({ label: labelOf(path) })]);
      }
      await writeTar(join(shards, `0000${shard}.tar`), members);
    }
  });

  it('come to the same as files, and are not read again', async () => {
    expect(await embed(shards, 'tar')).toMatchObject({
      ...{ layout: 'WebDataset shards', total: 7, embedded: 7, labels: { flat: 4, steep: 3 } },
      skipped: { count: 3 },
    });
    expect(essence(await storedRows(join(root, 'tar-store')))).toEqual(expected);
    expect(await embed(shards, 'tar')).toMatchObject({ unchanged: 7, embedded: 0 });
  });

  it('that changed are read again, and only new content is embedded', async () => {
    const shard = join(shards, '00001.tar');
    const time = new Date('2030-01-01');
    await utimes(shard, time, time);
    expect(await embed(shards, 'tar')).toMatchObject({ unchanged: 4, reused: 3, embedded: 0 });
    await rm(shard);
    expect(await embed(shards, 'tar')).toMatchObject({ total: 4, unchanged: 4, removed: 3 });
  });

  it('of several megabytes are read without a warning', async () => {
    const large = join(root, 'large.tar');
    const picture = await readFile(files[0] ?? '');
    const content = Buffer.concat([picture, Buffer.alloc(60_000)]);
    await writeTar(
      large,
      Array.from({ length: 40 }, (_, i) => [`${i}.png`, content]),
    );
    const { outcome } = lastlayerProcess(['embed', large, '--store', 'large-store'], root);
    const { stdout, stderr } = await outcome;
    expect(stdout).toContain('40 pictures (WebDataset shards)');
    expect(stderr).not.toContain('Warning');
  });

  it('have labels in one form of Unicode, without spaces around them', async () => {
    const shard = join(root, 'labels.tar');
    const members = [' M\u00e4use\n', 'Ma\u0308use'].map((label, i): [string, string][] => [
      [`${i}.png`, ''],
      [`${i}.cls`, label],
    ]);
    await writeTar(shard, [...members.flat(), ['2.png', ''], ['2.json', '{"label": true}']]);
    const labels = [];
    for await (const { label } of (await openDataset(shard)).entries()) labels.push(label);
    expect(labels).toEqual(['M\u00e4use', 'M\u00e4use', 'true']);
  });

  it('that end too early, or are none, are named', async () => {
    const torn = join(root, 'torn.tar');
    await pipeline(createReadStream(join(shards, '00000.tar'), { end: 9_999 }), createWriteStream(torn));
    await expect(embed(torn, 'torn')).rejects.toThrow(/torn\.tar cannot be read as a \.tar: Unexpected end/);
    await writeFile(join(root, 'text.tar'), 'no archive at all '.repeat(100));
    await expect(embed(join(root, 'text.tar'), 'torn')).rejects.toThrow(/text\.tar cannot be read as a \.tar/);
  });
});

describe('tables with pictures', () => {
  it('in Parquet, as Hugging Face writes them, come to the same as files', async () => {
    const names = ['steep', 'flat'];
    const images = await Promise.all(
      files.map(async (path) => ({ bytes: new Uint8Array(await readFile(path)), path })),
    );
    const file = join(root, 'pictures.parquet');
    const buffer = parquetWriteBuffer({
      rowGroupSize: 3,
      schema: [
        { name: 'root', num_children: 2 },
        { name: 'image', num_children: 2, repetition_type: 'OPTIONAL' },
        { name: 'bytes', type: 'BYTE_ARRAY', repetition_type: 'OPTIONAL' },
        { name: 'path', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
        { name: 'label', type: 'INT64', repetition_type: 'OPTIONAL' },
      ],
      columnData: [
        { name: 'image', data: images },
        { name: 'label', data: files.map((path) => BigInt(names.indexOf(labelOf(path)))) },
      ],
      kvMetadata: [{ key: 'huggingface', value: JSON.stringify({ info: { features: { label: { names } } } }) }],
    });
    await writeFile(file, Buffer.from(buffer));
    expect(await embed(file, 'parquet')).toMatchObject({
      total: 7,
      embedded: 7,
      labels: { flat: 4, steep: 3 },
    });
    const rows = await storedRows(join(root, 'parquet-store'));
    expect(essence(rows)).toEqual(expected);
    expect(rows[0]?.path).toBe(`${file}#0`);
    expect(await embed(file, 'parquet')).toMatchObject({ unchanged: 7 });
  });

  it('in Lance come to the same as files', async () => {
    const database = await connect(join(root, 'lance'));
    const rows = files.map(async (path) => ({
      id: basename(path),
      image: await readFile(path),
      label: labelOf(path),
    }));
    await database.createTable('pictures', await Promise.all(rows));
    const table = join(root, 'lance', 'pictures.lance');
    expect(await embed(table, 'lance')).toMatchObject({
      total: 7,
      embedded: 7,
      labels: { flat: 4, steep: 3 },
    });
    expect(essence(await storedRows(join(root, 'lance-store')))).toEqual(expected);
    expect(await embed(table, 'lance')).toMatchObject({ unchanged: 7 });
  });

  it('without a column of pictures are refused with what there is', async () => {
    const file = join(root, 'numbers.parquet');
    await writeFile(file, Buffer.from(parquetWriteBuffer({ columnData: [{ name: 'x', data: [1, 2] }] })));
    await expect(embed(file, 'numbers')).rejects.toThrow(/no column of pictures.*it has x\./);
    await writeFile(file, 'nothing of the kind');
    await expect(embed(file, 'numbers')).rejects.toThrow(/numbers\.parquet cannot be read as Parquet/);
  });
});

describe('pictures behind URLs', () => {
  let server: Server;
  let origin = '';
  const asked: string[] = [];
  let busy = 2;

  beforeAll(async () => {
    server = createServer((request, response) => {
      const url = request.url ?? '';
      asked.push(`${request.method ?? ''} ${url}`);
      const send = async () => {
        if (url === '/missing.png') return response.writeHead(404).end();
        if (url === '/busy.png' && busy-- > 0) return response.writeHead(503, { 'Retry-After': '0' }).end();
        const index = url === '/busy.png' ? 6 : Number(/\d+/.exec(url)?.[0]);
        const bytes = await readFile(files[index] ?? '');
        response.writeHead(200, {
          'Content-Length': bytes.length,
          'Last-Modified': new Date(0).toUTCString(),
        });
        return response.end(request.method === 'HEAD' ? undefined : bytes);
      };
      void send();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    origin = `http://127.0.0.1:${typeof address === 'object' ? (address?.port ?? 0) : 0}`;
  });
  afterAll(() => server.close());

  it('come to the same as files; a server that is busy is asked again, and a picture that is missing is a row', async () => {
    const manifest = join(root, 'urls.csv');
    const names = [...files.slice(0, 6).map((_, i) => `${i}.png`), 'busy.png'];
    const lines = names.map((name, i) => `${origin}/${name},${labelOf(files[i] ?? '')}`);
    await writeFile(manifest, `path,label\n${lines.join('\n')}\n${origin}/missing.png,flat\n`);
    expect(await embed(manifest, 'url')).toMatchObject({ total: 8, embedded: 7, failed: 1 });
    const rows = await storedRows(join(root, 'url-store'));
    expect(essence(rows.filter(({ error }) => error === null))).toEqual(expected);
    expect(rows.find(({ path }) => path.endsWith('missing.png'))?.error).toBe('the server says 404 Not Found');
    expect(asked.filter((line) => line === 'GET /busy.png')).toHaveLength(3);
    asked.length = 0;
    expect(await embed(manifest, 'url')).toMatchObject({ unchanged: 7, failed: 1 });
    expect(asked.filter((line) => line.startsWith('GET'))).toEqual(['GET /missing.png']);
  });

  it('of a scheme that cannot be fetched are refused with the line', async () => {
    const manifest = join(root, 's3.csv');
    await writeFile(manifest, 'path\ns3://bucket/1.png\n');
    const list = () => embed(manifest, 's3');
    await expect(list()).rejects.toThrow(/s3\.csv, line 2: s3:\/\/bucket\/1\.png cannot be fetched/);
  });
});

it('the digests are those of the pictures themselves', async () => {
  const digests = await Promise.all(
    files.map(async (path) =>
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    ),
  );
  expect(expected.map(({ sha256 }) => sha256)).toEqual(digests.sort());
});
