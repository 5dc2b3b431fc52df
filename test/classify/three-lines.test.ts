import { createReadStream, openAsBlob } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';
import { loadBackbone } from '../../src/backbone/load.js';
import { BackbonePool } from '../../src/backbone/pool.js';
import { evaluateDataset } from '../../src/classify/evaluate.js';
import { trainFromStore } from '../../src/classify/train.js';
import type { Square } from '../../src/image/square.js';
import { load, train, type ImageSource, type Predicted, type TrainProgress } from '../../src/index.js';
import { FileServer } from '../support/file-server.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';
import { ofClasses } from '../support/softmax.js';

const folder = await temporaryFolder();
const model = join(folder, 'small.onnx');
await writeFile(model, smallNetwork());
const data = join(folder, 'data');
const store = join(folder, 'store');
const out = join(folder, 'heads', 'stripes.safetensors');
await stripedDataset(data, { train: { flat: 12, steep: 12 }, val: { flat: 4, steep: 4 } });
const picture = join(data, 'val', 'steep', '0.png');
await writeFile(join(data, 'val', 'steep', 'broken.png'), 'no picture');
await writeFile(join(data, 'val', 'steep', 'notes.txt'), 'no picture');
const server = new FileServer();
server.content = await readFile(picture);
const address = await server.start();
const notices: string[] = [];
const progress: TrainProgress[] = [];
const classifier = await train(data, {
  ...{ model, store, out },
  onNotice: (line) => notices.push(line),
  onProgress: (state) => progress.push(state),
});

afterAll(async () => {
  await server.stop();
});

describe('train', () => {
  it('gives the head that embedding and training give, and says how good evaluating finds it', async () => {
    const { head } = await trainFromStore({ store });
    expect(classifier.head.weights.to1DArray()).toEqual(head.weights.to1DArray());
    expect(classifier.labels).toEqual(['flat', 'steep']);
    const { accuracy, logLoss, count, confusion } = ofClasses(
      await evaluateDataset(classifier, data, { split: 'val' }),
    );
    expect(classifier.evaluation).toMatchObject({ kind: 'softmax', on: 'validation split', count, accuracy });
    expect(classifier.evaluation?.logLoss).toBeCloseTo(logLoss ?? NaN, 5);
    expect(classifier.evaluation).toMatchObject({ confusion: confusion.to2DArray() });
  });

  it('tells what it left out, and how far it is', () => {
    expect(notices).toEqual([
      '1 of 33 pictures cannot be read, and are not trained on.',
      `Files skipped, as their names do not end like a picture's: 1, such as ${join(data, 'val', 'steep', 'notes.txt')}`,
    ]);
    expect([...new Set(progress.map(({ phase }) => phase))]).toEqual(['scan', 'embed', 'train']);
    expect(progress.findLast(({ phase }) => phase === 'embed')).toEqual({ phase: 'embed', done: 33, total: 33 });
  });

  it('embeds only what is new', async () => {
    const batches: number[] = [];
    const own = new BackbonePool(classifier.backbone);
    const pool = {
      size: 1,
      embed: (squares: readonly Square[]) => {
        batches.push(squares.length);
        return own.embed(squares);
      },
    };
    const options = { backbone: classifier.backbone, store, pool };
    await train(pathToFileURL(data), options);
    expect(batches).toEqual([]);
    const added = join(data, 'train', 'flat', 'added.png');
    await sharp(picture).flip().png().toFile(added);
    await train(data, options);
    expect(batches).toEqual([1]);
    await rm(added);
    await train(data, options);
    await own.close();
  });

  it('stops at the signal', async () => {
    const other = join(folder, 'other store');
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(train(data, { model, store: other, signal })).rejects.toThrow('enough');
    const controller = new AbortController();
    const stop = ({ phase }: TrainProgress) => {
      if (phase === 'train') controller.abort(new Error('enough of training'));
    };
    const written = join(folder, 'unwritten.safetensors');
    const options = { model, store, out: written, signal: controller.signal, onProgress: stop };
    await expect(train(data, options)).rejects.toThrow('enough of training');
    await expect(readFile(written)).rejects.toThrow('ENOENT');
  });
});

describe('load', () => {
  it('gives the same classifier, by path and by URL', async () => {
    const expected = await classifier.predict(picture);
    expect(expected[0]).toEqual({
      label: expect.stringMatching(/^(flat|steep)$/) as string,
      probability: expect.any(Number) as number,
      typicality: expect.any(Number) as number,
      unknown: expect.any(Boolean) as boolean,
    });
    for (const file of [out, pathToFileURL(out)]) {
      await using again = await load(file, { model });
      expect(await again.predict(picture)).toEqual(expected);
      expect(again.evaluation).toEqual(classifier.evaluation);
    }
  });

  it('gives a classifier that goes on after it was closed', async () => {
    const again = await load(out, { model });
    const before = await again.predict(picture);
    await again.close();
    expect(await again.predict(picture)).toEqual(before);
    await again.close();
  });
});

describe('a picture', () => {
  const sources: Record<string, () => ImageSource | Promise<ImageSource>> = {
    'a file: URL': () => pathToFileURL(picture),
    'an http: URL': () => new URL(`${address}/steep.png`),
    'an http: URL as text': () => `${address}/steep.png`,
    'a Buffer': () => readFile(picture),
    'a Uint8Array': async () => new Uint8Array(await readFile(picture)),
    'an ArrayBuffer': async () => new Uint8Array(await readFile(picture)).buffer,
    'a Blob': () => openAsBlob(picture),
    'a File': async () => new File([new Uint8Array(await readFile(picture))], 'steep.png'),
    'a Node stream': () => createReadStream(picture, { highWaterMark: 100 }),
    'a web stream': () => Readable.toWeb(createReadStream(picture)) as ReadableStream<Uint8Array>,
    'a sharp instance': () => sharp(picture),
    'raw pixels': async () => {
      const { data: pixels, info } = await sharp(picture).raw().toBuffer({ resolveWithObject: true });
      return { data: pixels, width: info.width, height: info.height, channels: 3 };
    },
  };

  it.each(Object.keys(sources))('may be %s', async (kind) => {
    const image = (await sources[kind]?.()) ?? '';
    expect(await classifier.predict(image)).toEqual(await classifier.predict(picture));
  });

  it('of a sharp instance is what its pipeline gives, however many channels', async () => {
    const mirrored = sharp(picture).flop();
    const encoded = await mirrored.clone().png().toBuffer();
    expect(await classifier.predict(mirrored)).toEqual(await classifier.predict(encoded));
    const grey = sharp(await sharp(picture).greyscale().ensureAlpha(1).png().toBuffer());
    expect(await classifier.predict(grey)).toEqual(await classifier.predict(await grey.clone().png().toBuffer()));
  });

  it.each<[string, unknown, string, RegExp]>([
    ['a path of nothing', 'none.png', 'PICTURE_UNREADABLE', /none\.png cannot be read: there is no such file\./],
    [
      'an address of another kind',
      new URL('ftp://example.org/a.png'),
      'PICTURE_UNREADABLE',
      /must begin with file:, http: or https:/,
    ],
    ['bytes of text', Buffer.from('text'), 'PICTURE_UNREADABLE', /./],
    ['a stream of text', Readable.from(['text']), 'PICTURE_UNREADABLE', /something else than bytes/],
    ['a sharp instance of nothing', sharp('none.png'), 'PICTURE_UNREADABLE', /sharp instance gives no picture/],
    ['a number', 3, 'USAGE', /A picture is expected/],
    ['null', null, 'USAGE', /A picture is expected/],
    ['another object', { width: 2 }, 'USAGE', /A picture is expected/],
  ])('that is %s is refused', async (_, image, code, message) => {
    const failure = classifier.predict(image as ImageSource);
    await expect(failure).rejects.toThrow(message);
    await expect(failure).rejects.toMatchObject({ code });
  });

  it('is not waited for once the signal aborts', async () => {
    const endless = new ReadableStream<Uint8Array>({});
    const prediction = classifier.predict(endless, { signal: AbortSignal.timeout(50) });
    await expect(prediction).rejects.toThrow(/timeout/);
  });
});

describe('predictAll', () => {
  it('goes through a folder, in order, and says what cannot be read', async () => {
    const told: string[] = [];
    const states: unknown[] = [];
    const found = [];
    const onNotice = (line: string) => told.push(line);
    const onProgress = (state: unknown) => states.push(state);
    for await (const each of classifier.predictAll(join(data, 'val'), { onNotice, onProgress })) found.push(each);
    const paths = found.map(({ path }) => path);
    expect(paths).toEqual([...paths].sort());
    expect(paths).toHaveLength(9);
    for (const { path, label, error, ...rest } of found) {
      if (path.endsWith('broken.png')) expect(error).toMatch(/broken\.png is no readable picture/);
      else {
        const [best] = await classifier.predict(path);
        expect({ label, ...rest }).toMatchObject(best ?? {});
      }
    }
    expect(told).toEqual([expect.stringContaining('notes.txt')]);
    expect(states.at(-1)).toEqual({ done: 9, total: 9 });
  });

  it('goes through one file, a pattern, and pictures of any kind', async () => {
    const count = async (pictures: AsyncIterable<Predicted>) => {
      const found = [];
      for await (const { path, label } of pictures) found.push([path, label !== undefined]);
      return found;
    };
    expect(await count(classifier.predictAll(picture))).toEqual([[picture, true]]);
    expect(await count(classifier.predictAll(pathToFileURL(picture)))).toEqual([[picture, true]]);
    expect(await count(classifier.predictAll(new URL(`${address}/a.png`)))).toEqual([[`${address}/a.png`, true]]);
    expect(await count(classifier.predictAll(join(data, 'val', 'flat', '*.png')))).toHaveLength(4);
    const some = [picture, sharp(picture), await readFile(picture), new URL('ftp://example.org/a.png')];
    expect(await count(classifier.predictAll(some))).toEqual([
      [picture, true],
      [undefined, true],
      [undefined, true],
      ['ftp://example.org/a.png', false],
    ]);
  });

  it('refuses a folder without pictures, with a code', async () => {
    const empty = join(folder, 'empty');
    await mkdir(empty);
    await expect(classifier.predictAll(empty).next()).rejects.toMatchObject({ code: 'DATASET_UNUSABLE' });
    await rm(empty, { recursive: true });
  });
});

it.each([
  ['HEAD_NOT_FOUND', () => load(join(folder, 'none.safetensors'))],
  ['HEAD_DAMAGED', () => load(model)],
  ['MODEL_NOT_FOUND', () => load(out, { model: 'no-such-model' })],
  ['MODEL_UNUSABLE', () => load(out, { model: picture })],
  ['DATASET_UNUSABLE', () => train(join(folder, 'nowhere'), { model, store })],
  ['USAGE', () => train(data, { model, store, folds: 1 })],
  ['NOT_EMBEDDED', () => trainFromStore({ store: join(folder, 'no store') })],
])('an error has a code: %s', async (code, work) => {
  await expect(work()).rejects.toMatchObject({ code });
});

it('a head of another backbone has the code HEAD_MISMATCH', async () => {
  const other = join(folder, 'other.onnx');
  await writeFile(other, smallNetwork(2));
  await expect(load(out, { model: other })).rejects.toMatchObject({ code: 'HEAD_MISMATCH' });
  expect((await loadBackbone({ model: other })).id).not.toBe(classifier.backbone.id);
});
