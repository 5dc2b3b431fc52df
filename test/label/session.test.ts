import { appendFile, cp, mkdir, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Action, Session } from '../../src/label/protocol.js';
import { Random } from '../../scripts/support/random.js';
import { Journal } from '../../src/label/journal.js';
import { LearnerThread } from '../../src/label/learn/thread.js';
import { LastlayerError } from '../../src/util/errors.js';
import { stripes, temporaryFolder } from '../support/files.js';
import { Client, rowsOf, saidOf, unlabelledPictures, until } from '../support/labelling.js';

const folder = await temporaryFolder();
const photos = join(folder, 'photos');
await unlabelledPictures(photos, 4);
const manifest = join(folder, 'photos.labels.csv');
const journal = join(folder, 'photos.labels.jsonl');

const notices: string[] = [];
const start = (options = {}) =>
  Client.start(folder, {
    dataset: photos,
    labels: ['flat', 'steep'],
    onNotice: (line) => notices.push(line),
    ...options,
  });

async function withSession<T>(use: (client: Client) => Promise<T>, options = {}): Promise<T> {
  const client = await start(options);
  try {
    return await use(client);
  } finally {
    await client.running.close();
  }
}

/** Forgets everything that was done. */
async function anew(): Promise<void> {
  notices.length = 0;
  for (const path of [manifest, journal]) await rm(path, { force: true });
}

beforeEach(anew);

test('labels, splits and pictures left out are in the manifest, which embed takes; the pictures stay as they are', async () => {
  const before = await readFile(join(photos, 'flat-0.png'));
  await withSession(async (client) => {
    expect(await client.act({ kind: 'label', pictures: [0, 1], label: 'flat' })).toEqual({
      seq: 1,
      done: '2 pictures labelled flat',
    });
    await client.act({ kind: 'label', pictures: [4], label: 'new one' });
    await client.act({ kind: 'split', pictures: [0, 4], split: 'val' });
    await client.act({ kind: 'leave-out', pictures: [2], out: true });
    const { classes, seq } = await client.session();
    expect(seq).toBe(4);
    expect(classes).toEqual([
      { name: 'flat', count: 2, removed: false },
      { name: 'steep', count: 0, removed: false },
      { name: 'new one', count: 1, removed: false },
    ]);
  });
  const rows = await rowsOf(manifest);
  expect(rows).toHaveLength(11);
  expect(rows.find(({ path }) => path.endsWith('flat-2.png'))).toBeUndefined();
  expect(rows.filter(({ label }) => label !== undefined).map(({ label, split }) => [label, split])).toEqual([
    ['flat', 'val'],
    ['flat', undefined],
    ['new one', 'val'],
  ]);
  expect(await readFile(join(photos, 'flat-0.png'))).toEqual(before);
});

test('the same action again is answered as before, and changes nothing', async () => {
  await withSession(async (client) => {
    const first = await client.act({ kind: 'label', pictures: [0], label: 'flat' }, 'once');
    await client.act({ kind: 'undo' });
    expect(await client.act({ kind: 'label', pictures: [0], label: 'flat' }, 'once')).toEqual(first);
    expect((await client.session()).classes[0]).toMatchObject({ count: 0 });
  });
  await withSession(async (client) => {
    expect((await client.act({ kind: 'label', pictures: [0], label: 'flat' }, 'once')).seq).toBe(1);
    expect((await client.session()).seq).toBe(2);
  });
});

test('what is no action, or cannot be done, is refused with a reason, and changes nothing', async () => {
  await withSession(async (client) => {
    const refused: [unknown, number, RegExp][] = [
      [{ kind: 'dance' }, 400, /one of the kinds label, toggle/],
      [
        { kind: 'label', pictures: [0, 0], label: 'flat' },
        400,
        /pictures: a list of the numbers of pictures, each once/,
      ],
      [{ kind: 'label', pictures: [12], label: 'flat' }, 400, /pictures/],
      [{ kind: 'label', pictures: [0], label: ' ' }, 400, /cannot be the name of a class: it is empty/],
      [{ kind: 'label', pictures: [0], label: '[a, b]' }, 400, /a manifest would take it for a list/],
      [{ kind: 'split', pictures: [0], split: 'dev' }, 400, /split: train, val, test or null/],
      [{ kind: 'toggle', pictures: [0], label: 'flat', on: true }, 409, /has one label/],
      [{ kind: 'remove-class', name: 'wasp' }, 409, /There is no class "wasp"/],
      [{ kind: 'add-class', name: 'flat' }, 409, /already/],
      [{ kind: 'undo' }, 409, /nothing to undo/],
    ];
    for (const [i, [action, status, reason]] of refused.entries()) {
      const answer = await client.post(action, `refused ${i}`);
      expect(answer).toEqual({
        status,
        body: { error: { code: expect.any(String) as string, message: expect.stringMatching(reason) as string } },
      });
    }
    expect((await client.session()).seq).toBe(0);
  });
});

test('a class is merged into another, and undo gives every picture the label that it had', async () => {
  await withSession(async (client) => {
    await client.act({ kind: 'label', pictures: [0, 1, 2], label: 'flat' });
    await client.act({ kind: 'label', pictures: [3, 4], label: 'steep' });
    const before = saidOf(await client.session());
    expect((await client.act({ kind: 'rename-class', name: 'steep', to: 'flat' })).done).toBe(
      'class steep merged into flat',
    );
    const merged = await client.session();
    expect(merged.classes).toMatchObject([{ count: 5 }, { count: 0, removed: true }]);
    expect(merged.pictures.labels.slice(0, 5)).toEqual([[0], [0], [0], [0], [0]]);
    await client.act({ kind: 'undo' });
    expect(saidOf(await client.session())).toEqual(before);
    // Renamed, it keeps its place, and its pictures.
    await client.act({ kind: 'rename-class', name: 'steep', to: 'upright' });
    expect((await client.session()).classes[1]).toEqual({ name: 'upright', count: 2, removed: false });
  });
});

test('a random history can be undone to its beginning and redone to its end, in several sessions', async () => {
  const random = new Random(7);
  const history: string[] = [];
  const state = ({ pictures, classes }: Session) =>
    JSON.stringify([saidOf({ pictures, classes }), classes.filter(({ removed }) => !removed)]);
  const randomAction = (): Action => {
    const pictures = [...Array(12).keys()].filter(() => random.chance(0.3));
    const some = pictures.length > 0 ? pictures : [3];
    const label = random.pick(['flat', 'steep', 'odd', 'plain']);
    return random.pick<Action>([
      { kind: 'label', pictures: some, label },
      { kind: 'label', pictures: some, label: null },
      { kind: 'leave-out', pictures: some, out: random.chance(0.5) },
      { kind: 'split', pictures: some, split: random.pick(['train', 'val', null]) },
      { kind: 'rename-class', name: label, to: random.pick(['flat', 'round']) },
      { kind: 'remove-class', name: label },
    ]);
  };
  for (let round = 0; round < 3; round++) {
    await withSession(async (client) => {
      if (round === 0) history.push(state(await client.session()));
      else expect(state(await client.session())).toBe(history.at(-1));
      for (let i = 0; i < 12; i++) {
        const before = (await client.session()).seq;
        await client.post(randomAction(), `${round} ${i}`);
        const session = await client.session();
        if (session.seq > before) history.push(state(session));
      }
    });
  }
  await withSession(async (client) => {
    for (const expected of history.slice(0, -1).reverse()) {
      await client.act({ kind: 'undo' });
      expect(state(await client.session())).toBe(expected);
    }
    expect((await client.session()).canUndo).toBe(false);
  });
  await withSession(async (client) => {
    for (const expected of history.slice(1)) {
      await client.act({ kind: 'redo' });
      expect(state(await client.session())).toBe(expected);
    }
    expect((await client.session()).canRedo).toBe(false);
  });
});

test('a last line that a crash has torn is cut off, and the session goes on', async () => {
  await withSession((client) => client.act({ kind: 'label', pictures: [0], label: 'flat' }));
  const whole = await readFile(journal, 'utf8');
  await appendFile(journal, '{"id":"torn","at":"2026');
  await withSession(async (client) => {
    expect((await client.session()).seq).toBe(1);
    expect(await readFile(journal, 'utf8')).toBe(whole);
    await client.act({ kind: 'label', pictures: [1], label: 'steep' });
  });
  expect(notices.join('\n')).toMatch(/last line of .*photos\.labels\.jsonl was torn/);
  await withSession(async (client) => {
    expect(saidOf(await client.session())).toMatchObject({ 'flat-0.png': 'flat', 'flat-1.png': 'steep' });
  });
});

test('a file that is no journal is left as it is', async () => {
  const list = join(folder, 'list.jsonl');
  const line = '{"path":"photos/flat-0.png","label":"flat"}';
  await writeFile(list, line);
  const out = join(folder, 'list.csv');
  await expect(start({ dataset: list, out })).rejects.toThrow(
    /whose journal would be .*list\.jsonl, the data set itself/,
  );
  await expect(start({ out })).rejects.toThrow(/list\.jsonl is not a journal/);
  expect(await readFile(list, 'utf8')).toBe(line);
});

test('a head that is older than the last label, as after a crash, is saved at the end', async () => {
  const head = join(folder, 'head.safetensors');
  const session = await start();
  await session.act({ kind: 'label', pictures: [0, 1], label: 'flat' });
  await session.act({ kind: 'label', pictures: [8, 9], label: 'steep' });
  expect((await session.running.close())?.head?.path).toBe(head);
  expect(await (await start()).running.close()).toBeNull();
  await utimes(head, 0, 0);
  expect((await (await start()).running.close())?.head?.path).toBe(head);
  await rm(head);
});

test('a journal that is damaged in the middle is left as it is', async () => {
  await withSession((client) => client.act({ kind: 'label', pictures: [0], label: 'flat' }));
  const damaged = (await readFile(journal, 'utf8')).replace('"id"', 'id');
  await writeFile(journal, damaged);
  await expect(start()).rejects.toThrow(/photos\.labels\.jsonl is damaged: line 2 is not JSON, and others follow it/);
  expect(await readFile(journal, 'utf8')).toBe(damaged);
});

test('what somebody has edited in the manifest is taken over as one step', async () => {
  await withSession(async (client) => {
    await client.act({ kind: 'label', pictures: [0, 1], label: 'flat' });
    await client.act({ kind: 'label', pictures: [8], label: 'steep' });
  });
  const written = await readFile(manifest, 'utf8');
  const edited = written
    .replace(/(?<=.)$/gm, ',')
    .replace('path,label,', 'path,label,split')
    .replace('flat-0.png,flat,', 'flat-0.png,wavy,val')
    .replace('steep-0.png,steep', 'steep-0.png,')
    .replace(/.*flat-3\.png.*\n/, '');
  await writeFile(manifest, edited);
  await withSession(async (client) => {
    const session = await client.session();
    expect(saidOf(session)).toMatchObject({
      'flat-0.png': 'wavy in val',
      'flat-1.png': 'flat',
      'flat-3.png': ' left out',
      'steep-0.png': '',
    });
    expect(session.seq).toBe(3);
    await client.act({ kind: 'undo' });
    expect(saidOf(await client.session())).toMatchObject({
      'flat-0.png': 'flat',
      'flat-3.png': '',
      'steep-0.png': 'steep',
    });
  });
  expect(notices.join('\n')).toMatch(/photos\.labels\.csv was changed by hand .* 3 pictures was taken over/);
  notices.length = 0;
  // What the session itself has written is no edit.
  await withSession(async (client) => {
    expect((await client.session()).seq).toBe(4);
  });
  expect(notices.filter((line) => line.includes('by hand'))).toEqual([]);
});

test('what somebody edits in the manifest while the server runs is taken over before it is written again', async () => {
  await withSession(async (client) => {
    await client.act({ kind: 'label', pictures: [0, 1], label: 'flat' });
    await client.postEmpty('/api/save');
    const written = await readFile(manifest, 'utf8');
    await writeFile(manifest, written.replace('flat-1.png,flat', 'flat-1.png,steep'));
    await client.act({ kind: 'label', pictures: [2], label: 'flat' });
    await client.postEmpty('/api/save');
    const both = { 'flat-0.png': 'flat', 'flat-1.png': 'steep', 'flat-2.png': 'flat' };
    expect(saidOf(await client.session())).toMatchObject(both);
    for (const [name, label] of Object.entries(both)) {
      expect(await readFile(manifest, 'utf8')).toContain(`${name},${label}`);
    }
    await client.act({ kind: 'undo' });
    expect(saidOf(await client.session())).toMatchObject({ ...both, 'flat-1.png': 'flat' });
  });
});

test('a manifest that is older than the journal, as after a crash, is no edit', async () => {
  await withSession((client) => client.act({ kind: 'label', pictures: [0], label: 'flat' }));
  const older = await readFile(manifest);
  await withSession((client) => client.act({ kind: 'label', pictures: [1], label: 'steep' }));
  await writeFile(manifest, older);
  await withSession(async (client) => {
    expect(saidOf(await client.session())).toMatchObject({ 'flat-0.png': 'flat', 'flat-1.png': 'steep' });
  });
  expect(notices.filter((line) => line.includes('by hand'))).toEqual([]);
});

test('the manifest of a session stands for the session, and folder and files can be moved together', async () => {
  await withSession((client) => client.act({ kind: 'label', pictures: [0], label: 'flat' }));
  const moved = join(folder, 'moved');
  for (const path of [photos, manifest, journal]) await cp(path, path.replace(folder, moved), { recursive: true });
  await withSession(
    async (client) => {
      const session = await client.session();
      expect(session.dataset).toBe(join(moved, 'photos'));
      expect(session.manifest).toBe(join(moved, 'photos.labels.csv'));
      expect(saidOf(session)['flat-0.png']).toBe('flat');
      await client.act({ kind: 'undo' });
    },
    { dataset: join(moved, 'photos.labels.csv') },
  );
});

test('one server at a time works on the labels; the second names the first', async () => {
  await withSession(async (client) => {
    await expect(start()).rejects.toThrow(new RegExp(`worked on already, at ${client.url}`));
  });
  // The lock went with it.
  await withSession((client) => client.session());
});

test('pictures have lists of labels, and one that is known to have none is told from one that nobody has looked at', async () => {
  const multilabel = { multilabel: true, labels: ['red', 'a;b'] };
  await withSession(async (client) => {
    await client.act({ kind: 'toggle', pictures: [0, 1], label: 'red', on: true });
    await client.act({ kind: 'toggle', pictures: [1, 2], label: 'a;b', on: true });
    await client.act({ kind: 'toggle', pictures: [2], label: 'a;b', on: false });
    await client.act({ kind: 'confirm', pictures: [3], queue: 'next' });
    const { pictures } = await client.session();
    expect(pictures.labels.slice(0, 5)).toEqual([[0], [0, 1], [], [], []]);
    expect(pictures.labelled.slice(0, 5)).toEqual([true, true, true, true, false]);
  }, multilabel);
  const rows = await rowsOf(manifest);
  expect(rows.map(({ path, labels }) => [path.split('/').at(-1), labels])).toEqual([
    ['flat-0.png', ['red']],
    ['flat-1.png', ['a;b', 'red']],
    ['flat-2.png', []],
    ['flat-3.png', []],
  ]);
  await withSession(async (client) => {
    const { multilabel: lists, pictures } = await client.session();
    expect(lists).toBe(true);
    expect(pictures.labelled.filter(Boolean)).toHaveLength(4);
  });
});

test('the labels of class folders and of manifests are labels already', async () => {
  const list = join(folder, 'list.csv');
  await writeFile(
    list,
    'path,label,split,weight\nphotos/flat-0.png,flat,val,\nphotos/steep-0.png,steep,,2\nphotos/flat-1.png,,,\n',
  );
  await withSession(
    async (client) => {
      expect(saidOf(await client.session())).toEqual({
        'photos/flat-0.png': 'flat in val',
        'photos/flat-1.png': '',
        'photos/steep-0.png': 'steep',
      });
      await client.act({ kind: 'label', pictures: [1], label: 'steep' });
    },
    { dataset: list, labels: [] },
  );
  expect(await rowsOf(join(folder, 'list.labels.csv'))).toMatchObject([
    { label: 'flat', split: 'val' },
    { label: 'steep' },
    { label: 'steep', weight: 2 },
  ]);
  // The user's own manifest stays as it is.
  expect(await readFile(list, 'utf8')).toContain('photos/flat-1.png,,,');
});

test('an empty folder is a data set to begin with, whose pictures come from the page', async () => {
  const empty = join(folder, 'empty');
  await mkdir(empty);
  const shots = await Promise.all([1, 2].map(async (seed) => new Uint8Array(await stripes(0, seed))));
  await withSession(
    async (client) => {
      expect((await client.session()).pictures.name).toEqual([]);
      for (const [i, label] of ['flat', 'steep'].entries()) {
        await client.upload(`/api/pictures?label=${label}`, [[`${i}.png`, shots[i] ?? new Uint8Array()]]);
      }
      expect(saidOf(await client.session())).toEqual({ 'flat/0.png': 'flat', 'steep/1.png': 'steep' });
    },
    { dataset: empty },
  );
  await withSession(
    async (client) => {
      expect(saidOf(await client.session())).toEqual({ 'flat/0.png': 'flat', 'steep/1.png': 'steep' });
      // Undone, the file stays, and is left out.
      await client.act({ kind: 'undo' });
      expect(saidOf(await client.session())).toEqual({ 'flat/0.png': 'flat', 'steep/1.png': ' left out' });
      expect(await readdir(join(empty, 'steep'))).toEqual(['1.png']);
    },
    { dataset: empty },
  );
});

test.each([
  ['shards.tar', 'WebDataset shards', 'tar -xf SHARD.tar -C FOLDER'],
  ['table.parquet', 'Parquet files', 'Write the pictures to files of a folder'],
])('pictures that are no files of their own cannot be labelled, with what to do: %s', async (name, layout, help) => {
  const dataset = join(folder, name);
  await writeFile(dataset, '');
  const refused = start({ dataset });
  await expect(refused).rejects.toThrow(LastlayerError);
  await expect(refused).rejects.toThrow(`${dataset} (${layout}) cannot be labelled`);
  await expect(refused).rejects.toThrow(help);
  expect((await readdir(folder)).filter((each) => each.startsWith(`${name.split('.')[0] ?? ''}.labels`))).toEqual([]);
});

test('what keeps the classifier from learning is told, and labelling goes on', async () => {
  const call = Object.getOwnPropertyDescriptor(LearnerThread.prototype, 'call') ?? {};
  LearnerThread.prototype.call = () => Promise.reject(new LastlayerError('The thread of the classifier died.'));
  try {
    await withSession(async (client) => {
      await client.act({ kind: 'label', pictures: [0, 1], label: 'flat' });
      await client.act({ kind: 'label', pictures: [8, 9], label: 'steep' });
      await until(() => notices.length > 0);
      Object.defineProperty(LearnerThread.prototype, 'call', call);
      expect(notices).toEqual(['The classifier cannot learn: The thread of the classifier died.']);
      await client.act({ kind: 'label', pictures: [2], label: 'flat' });
      expect((await client.learnt()).classifier.trainedOn).toBe(5);
    });
  } finally {
    Object.defineProperty(LearnerThread.prototype, 'call', call);
  }
});

test('a journal that cannot be written to is told in words, and nothing is changed', async () => {
  await withSession(async (client) => {
    await client.act({ kind: 'label', pictures: [0], label: 'flat' });
    const append = Object.getOwnPropertyDescriptor(Journal.prototype, 'append') ?? {};
    Journal.prototype.append = () => Promise.reject(new LastlayerError('The disk is full.'));
    expect(await client.post({ kind: 'label', pictures: [1], label: 'flat' }, 'lost')).toEqual({
      status: 500,
      body: { error: { code: 'failed', message: 'The disk is full.' } },
    });
    Object.defineProperty(Journal.prototype, 'append', append);
    expect(saidOf(await client.session())).toMatchObject({ 'flat-0.png': 'flat', 'flat-1.png': '' });
    expect((await client.act({ kind: 'label', pictures: [1], label: 'flat' }, 'lost')).seq).toBe(2);
  });
});
