import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { checkData } from '../../src/check/check-data.js';
import type { Issue } from '../../src/check/finding.js';
import { loadHead } from '../../src/head/file.js';
import { wilsonInterval } from '../../src/head/metrics.js';
import { Material } from '../../src/label/learn/material.js';
import { verdictOf } from '../../src/label/learn/verdict.js';
import type {
  AcceptPreview,
  ClassifierEvaluation,
  FindingsAnswer,
  Queue,
  SaveAnswer,
  Session,
  SimilarAnswer,
  Suggestions,
} from '../../src/label/protocol.js';
import { withDatasetEmbeddings } from '../../src/store/dataset-rows.js';
import { lastlayer } from '../support/command-line.js';
import { temporaryFolder } from '../support/files.js';
import { Client, unlabelledPictures } from '../support/labelling.js';

let client: Client;
// Before the folder goes.
afterAll(() => client.running.close());

const folder = await temporaryFolder();
const photos = join(folder, 'my photos');
const EACH = 14;
await unlabelledPictures(photos, EACH);
// A copy to be in another split, and a picture with nothing on it.
await copyFile(join(photos, 'flat-0.png'), join(photos, 'x-copy.png'));
await sharp({ create: { width: 80, height: 80, channels: 3, background: '#030303' } })
  .png()
  .toFile(join(photos, 'x-black.png'));

const CLASSES = ['flat', 'slanted', 'steep'];
let session: Session;
let suggestions: Record<'best' | 'second', Uint16Array> & Record<'probability' | 'secondProbability', Float32Array>;
/** Embeddings in the order of the pictures; centred and of length 1, too. */
let embeddings: Float64Array[];
let directions: Float64Array[];

/** An item that is there. */
function at<T>(items: { readonly [index: number]: T }, index: number): T {
  const item = items[index];
  if (item === undefined) throw new RangeError(`There is no item ${index}.`);
  return item;
}
let labelled: Set<number>;

const numberOf = (name: string) => session.pictures.name.indexOf(name);
const dot = (a: Float64Array, b: Float64Array) => a.reduce((total, value, j) => total + value * at(b, j), 0);
const unit = (a: Float64Array) => a.map((value) => value / Math.sqrt(dot(a, a)));

beforeAll(async () => {
  client = await Client.start(folder, { dataset: photos, labels: CLASSES });
  session = await client.session();
  for (const label of CLASSES) {
    await client.act({ kind: 'label', pictures: [1, 3, 5, 7, 9].map((i) => numberOf(`${label}-${i}.png`)), label });
  }
  session = await client.learnt();
  labelled = new Set(session.pictures.labelled.flatMap((is, i) => (is ? i : [])));
  const answer = await client.get<Suggestions>('/api/suggestions');
  const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'base64')).buffer;
  suggestions = {
    best: new Uint16Array(bytes(answer.best)),
    probability: new Float32Array(bytes(answer.probability)),
    second: new Uint16Array(bytes(answer.second)),
    secondProbability: new Float32Array(bytes(answer.secondProbability)),
  };
  await withDatasetEmbeddings(
    { store: join(folder, 'store'), dataset: photos },
    async ({ rows, source }) => {
      const byPath = new Map<string, Float64Array>();
      for await (const { rows: numbers, features } of source.blocks()) {
        numbers.forEach((row, i) => {
          const embedding = Float64Array.from(features.subarray(i * source.width, (i + 1) * source.width));
          byPath.set(at(rows, row).path, embedding);
        });
      }
      embeddings = session.pictures.name.map((name) => byPath.get(join(photos, name)) ?? new Float64Array());
    },
    { unlabelled: true },
  );
  const mean = at(embeddings, 0).map(
    (_, j) => embeddings.reduce((total, x) => total + at(x, j), 0) / embeddings.length,
  );
  directions = embeddings.map((x) => unit(x.map((value, j) => value - at(mean, j))));
});

test('the classifier says how good it is by cross-validation, with its interval', () => {
  const { status, trainedOn, evaluation, history, verdict } = session.classifier;
  expect({ status, trainedOn }).toEqual({ status: 'ready', trainedOn: 15 });
  const { on, accuracy, low, high, pictures, perClass } = evaluation as ClassifierEvaluation;
  expect({ on, pictures }).toEqual({ on: 'cross-validation', pictures: 15 });
  expect([low, high]).toEqual(wilsonInterval(Math.round(accuracy * 15), 15));
  expect(perClass.map(({ name, support }) => [name, support])).toEqual(CLASSES.map((name) => [name, 5]));
  const right = perClass.reduce((total, { recall, support }) => total + (recall ?? 0) * support, 0);
  expect(right / 15).toBeCloseTo(accuracy, 12);
  expect(history.at(-1)).toEqual({ labelled: 15, accuracy, low, high });
  expect(verdict).toMatch(/^More labels of (flat|slanted|steep) would help most/);
});

test('accepting suggestions names the error to be expected, the mean of what the probabilities leave', async () => {
  for (const above of [0, 0.5, 0.7]) {
    const wanted = [...suggestions.best.keys()].filter(
      (i) => !labelled.has(i) && at(suggestions.probability, i) >= above,
    );
    const preview = await client.get<AcceptPreview>(`/api/accept?above=${above}`);
    expect(preview.count).toBe(wanted.length);
    const doubt = wanted.reduce((total, i) => total + 1 - at(suggestions.probability, i), 0);
    expect(preview.expectedError).toBeCloseTo(doubt / wanted.length, 6);
    expect(preview.groups.flatMap(({ pictures }) => pictures).sort((a, b) => a - b)).toEqual(wanted);
    for (const { label, pictures } of preview.groups) {
      expect(new Set(pictures.map((i) => at(session.classes, at(suggestions.best, i)).name))).toEqual(new Set([label]));
    }
    expect(preview.sample.every((i) => wanted.includes(i))).toBe(true);
    const queue = await client.get<Queue>(`/api/queues/accept?above=${above}&count=1000`);
    expect(queue.left).toBe(wanted.length);
  }
  const flat = await client.get<AcceptPreview>('/api/accept?above=0&label=flat');
  expect(flat.groups.map(({ label }) => label)).toEqual(['flat']);
});

test('next to label are pictures that are uncertain, and far from those that are labelled or chosen already', async () => {
  const { groups, left } = await client.get<Queue>('/api/queues/next?count=10');
  const open = [...embeddings.keys()].filter((i) => !labelled.has(i));
  expect(left).toBe(open.length);
  const distance = (a: number, b: number) => Math.sqrt(Math.max(0, 2 - 2 * dot(at(directions, a), at(directions, b))));
  const covered = [...labelled];
  const expected = Array.from({ length: 10 }, () => {
    const worth = (i: number) => {
      const uncertainty = 1 - (at(suggestions.probability, i) - at(suggestions.secondProbability, i));
      return covered.includes(i) ? -1 : uncertainty * Math.min(...covered.map((other) => distance(i, other)));
    };
    const best = open.reduce((most, i) => (worth(i) > worth(most) ? i : most));
    covered.push(best);
    return best;
  });
  expect(groups.flatMap(({ pictures }) => pictures)).toEqual(expected);
});

test('clusters divide what is unlabelled, each picture to the nearest centre', async () => {
  const { groups, left } = await client.get<Queue>('/api/queues/clusters');
  const open = [...embeddings.keys()].filter((i) => !labelled.has(i));
  expect(left).toBe(open.length);
  expect(groups.flatMap(({ pictures }) => pictures).sort((a, b) => a - b)).toEqual(open);
  expect(groups.length).toBeGreaterThan(1);
  const centres = groups.map(({ pictures }) =>
    at(directions, 0).map(
      (_, j) => pictures.reduce((total, i) => total + at(at(directions, i), j), 0) / pictures.length,
    ),
  );
  groups.forEach(({ pictures, title }, own) => {
    expect(title).toBe(`Cluster of ${pictures.length}`);
    for (const i of pictures) {
      const distances = centres.map((centre) =>
        Math.hypot(...at(directions, i).map((value, j) => value - at(centre, j))),
      );
      expect(distances.indexOf(Math.min(...distances))).toBe(own);
    }
  });
});

test('the most similar pictures are those of the largest cosine', async () => {
  const query = numberOf('steep-2.png');
  const cosine = (i: number) => dot(unit(at(embeddings, query)), unit(at(embeddings, i)));
  const others = [...embeddings.keys()].filter((i) => i !== query).sort((a, b) => cosine(b) - cosine(a));
  const { pictures, similarity } = await client.get<SimilarAnswer>(`/api/similar/${query}?count=6`);
  expect(pictures).toEqual(others.slice(0, 6));
  similarity.forEach((value, i) => {
    expect(value).toBeCloseTo(cosine(at(pictures, i)), 5);
  });
});

test('the queues have what check-data finds, and what is confirmed is settled', async () => {
  const wrong = numberOf('flat-6.png');
  for (const label of CLASSES) {
    const pictures = [...Array(EACH).keys()].map((i) => numberOf(`${label}-${i}.png`));
    await client.act({ kind: 'label', pictures, label });
  }
  await client.act({ kind: 'label', pictures: [wrong], label: 'steep' });
  await client.act({ kind: 'split', pictures: [numberOf('flat-0.png')], split: 'train' });
  await client.act({ kind: 'split', pictures: [numberOf('x-copy.png')], split: 'val' });
  await client.postEmpty('/api/save');
  const { findings } = await checkData({ store: join(folder, 'store'), dataset: session.manifest });
  const found = (...issues: Issue[]) =>
    [...new Set(findings.filter(({ issue }) => issues.includes(issue)).map(({ path }) => path))].sort();
  const queued = async (name: string) => {
    const { groups, left, empty } = await client.get<Queue>(`/api/queues/${name}`);
    const pictures = groups.flatMap((group) => group.pictures);
    return {
      groups,
      left,
      empty,
      paths: [...new Set(pictures)].map((i) => join(photos, at(session.pictures.name, i))).sort(),
    };
  };
  const doubtful = await queued('doubtful');
  expect(doubtful.paths).toEqual(found('label error'));
  expect(doubtful.groups).toContainEqual(
    expect.objectContaining({ title: 'Labelled steep, probably flat', suggestion: 'flat', pictures: [wrong] }),
  );
  const odd = await queued('odd');
  expect(odd.paths).toEqual(found('empty', 'outlier', 'tiny', 'grey'));
  expect(odd.paths).toContain(join(photos, 'x-black.png'));
  const duplicates = await queued('duplicates');
  const copies = [numberOf('flat-0.png'), numberOf('x-copy.png')];
  expect(found('leak')).toEqual([join(photos, 'x-copy.png')]);
  expect(duplicates.groups[0]).toMatchObject({ title: 'The same picture in train and val', pictures: copies });
  // All of them at once, each with what check-data says of it.
  const all = async () => {
    const answer = await client.get<FindingsAnswer>('/api/findings');
    const texts = answer.findings.flatMap(({ issue, pictures, details }) =>
      pictures.map((i, n) => `${issue} ${join(photos, at(session.pictures.name, i))} ${at(details, n)}`),
    );
    return { ...answer, texts: texts.sort() };
  };
  const before = await all();
  expect(before.texts).toEqual(findings.map(({ issue, path, detail }) => `${issue} ${path} ${detail}`).sort());
  expect(before.left).toEqual({ doubtful: doubtful.left, duplicates: duplicates.left, odd: odd.left });

  await client.act({ kind: 'confirm', pictures: [wrong], queue: 'doubtful' });
  expect((await queued('doubtful')).paths).not.toContain(join(photos, 'flat-6.png'));
  await client.act({ kind: 'confirm', pictures: copies, queue: 'duplicates' });
  expect((await queued('duplicates')).paths).toEqual([]);
  const settled = await all();
  expect(settled.texts).toEqual(before.texts.filter((text) => !/flat-6|leak|duplicate/.test(text)));
  expect(settled.left).toEqual({ ...before.left, doubtful: before.left.doubtful - 1, duplicates: 0 });
  await client.act({ kind: 'leave-out', pictures: [numberOf('x-black.png')], out: true });
  expect((await queued('odd')).paths).not.toContain(join(photos, 'x-black.png'));
  // A label that is given anew is looked at anew.
  await client.act({ kind: 'label', pictures: [wrong], label: 'slanted' });
  expect((await queued('doubtful')).paths).toContain(join(photos, 'flat-6.png'));
});

test('the head that is saved is the one of train-head on the manifest, to the bit', async () => {
  const { head, manifest, next } = await client.postEmpty<SaveAnswer>('/api/save');
  expect(head?.path).toBe(join(folder, 'head.safetensors'));
  expect(next[0]).toMatch(/predict/);
  const model = ['--model', join(folder, 'small.onnx')];
  for (const args of [
    ['embed', manifest, '--store', 'another', ...model],
    ['train-head', '--store', 'another', '--out', 'other.safetensors'],
  ]) {
    expect(await lastlayer(args, folder)).toMatchObject({ code: 0 });
  }
  const [mine, other] = await Promise.all(
    ['head', 'other'].map((name) => loadHead(join(folder, `${name}.safetensors`))),
  );
  expect(mine?.labels).toEqual(CLASSES);
  expect(mine?.with({ created: '' })).toEqual(other?.with({ created: '' }));
});

test('too few labels give a reason in place of a head', async () => {
  const { seq } = await client.session();
  const rest = [...embeddings.keys()].filter((i) => i !== 0);
  await client.act({ kind: 'label', pictures: rest, label: null });
  const { head, withoutHead, manifest, next } = await client.postEmpty<SaveAnswer>('/api/save');
  expect(head).toBeNull();
  expect(withoutHead).toBe('A head needs labelled pictures of two classes.');
  // To be copied into a shell, in a folder whose name has a space.
  expect(next).toEqual([`npm run label -- '${manifest}'`]);
  await client.act({ kind: 'undo' });
  expect((await client.session()).seq).toBe(seq + 2);
});

test('directions are those from the mean of all pictures, those that were added later included', async () => {
  const material = new Material();
  const embeddings = new SharedArrayBuffer(4 * 2 * 3);
  new Float32Array(embeddings).set([1, 0, 0, 1, -4, -4]);
  const add = (...paths: string[]) => {
    const each = <T>(value: T) => paths.map(() => value);
    const columns = { digests: paths, widths: each(1), heights: each(1), problems: each(null) };
    material.addPictures({ embeddings, width: 2, paths, ...columns, fingerprints: new Uint8Array(257 * paths.length) });
  };
  add('a');
  expect([...(await material.directions(Int32Array.of(0)))]).toEqual([0, 0]);
  add('b', 'c');
  const [x = NaN, y = NaN] = await material.directions(Int32Array.of(0));
  // The mean is (−1, −1).
  expect(x).toBeCloseTo(2 / Math.sqrt(5));
  expect(y).toBeCloseTo(1 / Math.sqrt(5));
});

describe('the verdict', () => {
  const classes = ['ant', 'bee'].map((name) => ({ name, removed: false }));
  const evaluation = (accuracy: number, pictures: number, recalls: readonly [number, number]) => {
    const [low, high] = wilsonInterval(accuracy * pictures, pictures) as [number, number];
    const perClass = recalls.map((recall, n) => ({
      name: at(classes, n).name,
      precision: 1,
      recall,
      support: pictures / 2,
    }));
    return { on: 'cross-validation' as const, accuracy, low, high, pictures, perClass };
  };
  const point = (labelled: number, accuracy: number) => ({ labelled, accuracy, low: 0, high: 1 });
  const known = { classes, multilabel: false, names: ['ant', 'bee'], tooFew: [] };

  test('asks for the class that errs most for the pictures it has', () => {
    const { verdict, wanted } = verdictOf({
      ...known,
      counts: [30, 10],
      evaluation: evaluation(0.8, 40, [0.9, 0.5]),
      history: [point(40, 0.8)],
    });
    expect(wanted).toBe('bee');
    expect(verdict).toBe('More labels of bee would help most: it has 10 pictures, and 50 % of them are recognised.');
  });

  test('says that it is enough once more labels change nothing that can be told', () => {
    const enough = (before: number, now: number, pictures: number) =>
      verdictOf({
        ...known,
        counts: [pictures / 2, pictures / 2],
        evaluation: evaluation(now, pictures, [now, now]),
        history: [point(pictures - 20, before), point(pictures, now)],
      }).verdict;
    expect(enough(0.955, 0.96, 300)).toMatch(
      /^20 more labels have changed accuracy by less than its interval, ± 2\.\d %: enough/,
    );
    expect(enough(0.9, 0.96, 300)).toMatch(/^More labels/);
    // Of few pictures, nobody knows how good it is.
    expect(enough(0.955, 0.96, 40)).toMatch(/^More labels/);
  });

  test('begins with what is missing', () => {
    const none = { ...known, names: [], counts: [], evaluation: undefined, history: [] };
    expect(verdictOf({ ...none, tooFew: ['ant', 'bee'] }).verdict).toMatch(/^Label two pictures of two classes/);
    expect(verdictOf({ ...none, tooFew: ['bee'] }).wanted).toBe('bee');
    const three = { ...known, counts: [5, 5], evaluation: evaluation(1, 10, [1, 1]), history: [point(10, 1)] };
    expect(verdictOf({ ...three, tooFew: ['wasp'] })).toEqual({
      verdict: 'Label two pictures of wasp, so that it is learnt, too.',
      wanted: 'wasp',
    });
  });
});
