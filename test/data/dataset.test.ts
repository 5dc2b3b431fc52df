import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import type { DatasetEntry } from '../../src/data/dataset.js';
import { openDataset } from '../../src/data/open.js';
import { temporaryFolder } from '../support/files.js';

const root = await temporaryFolder();
let made = 0;

/** A new folder with these files, empty but for the given texts. */
async function folder(files: readonly string[], texts: Record<string, string> = {}): Promise<string> {
  const path = join(root, String(made++));
  for (const file of [...files, ...Object.keys(texts)]) {
    await mkdir(dirname(join(path, file)), { recursive: true });
    await writeFile(join(path, file), texts[file] ?? '');
  }
  return path;
}

/** What a data set lists, by path, as `label split`. */
async function listed(path: string): Promise<Record<string, string>> {
  const dataset = await openDataset(path);
  const entries: DatasetEntry[] = [];
  for await (const entry of dataset.entries()) entries.push(entry);
  entries.sort((a, b) => (a.path < b.path ? -1 : 1));
  const base = path.endsWith('l') || path.endsWith('csv') ? dirname(path) : path;
  return Object.fromEntries(
    entries.map((entry) => [relative(base, entry.path), `${entry.label ?? '-'} ${entry.split ?? '-'}`]),
  );
}

describe('a folder', () => {
  it('of class folders labels its pictures, at any depth', async () => {
    const path = await folder(['cat/1.jpg', 'cat/deep/er/2.PNG', 'dog/3.webp']);
    expect(await listed(path)).toEqual({
      'cat/1.jpg': 'cat -',
      'cat/deep/er/2.PNG': 'cat -',
      'dog/3.webp': 'dog -',
    });
  });

  it('of split folders gives splits, under the names that people use', async () => {
    const path = await folder(['train/a/1.jpg', 'Validation/a/2.jpg', 'test/b/3.jpg', 'train/4.jpg']);
    expect(await listed(path)).toEqual({
      'train/a/1.jpg': 'a train',
      'Validation/a/2.jpg': 'a val',
      'test/b/3.jpg': 'b test',
      'train/4.jpg': '- train',
    });
  });

  it('without folders is a heap of unlabelled pictures', async () => {
    const path = await folder(['1.jpg', '2.tiff', 'notes.txt', '.hidden.jpg']);
    expect(await listed(path)).toEqual({ '1.jpg': '- -', '2.tiff': '- -' });
    const dataset = await openDataset(path);
    const paths = [];
    for await (const { path: file } of dataset.entries()) paths.push(file);
    expect(paths).toHaveLength(2);
    expect(dataset.skipped).toEqual({ count: 1, examples: [join(path, 'notes.txt')] });
  });

  it('that mixes splits and classes is refused, with the names of both', async () => {
    const path = await folder(['train/a/1.jpg', 'cat/2.jpg']);
    await expect(openDataset(path)).rejects.toThrow(/split folders \(train\) beside others \(cat\)/);
  });

  it('is walked once, whatever links there are', async () => {
    const path = await folder(['cat/1.jpg', 'cat/sub/2.jpg']);
    await symlink(join(path, 'cat'), join(path, 'cat', 'sub', 'loop'));
    await symlink(join(path, 'nowhere.jpg'), join(path, 'cat', 'dangling.jpg'));
    expect(Object.keys(await listed(path))).toEqual(['cat/1.jpg', 'cat/dangling.jpg', 'cat/sub/2.jpg']);
  });

  it('says what it still contains', async () => {
    const path = await folder(['cat/1.jpg']);
    const dataset = await openDataset(path);
    expect(await dataset.contains(join(path, 'cat/1.jpg'))).toBe(true);
    await rm(join(path, 'cat/1.jpg'));
    expect(await dataset.contains(join(path, 'cat/1.jpg'))).toBe(false);
  });
});

describe('a manifest', () => {
  it('in CSV gives paths relative to itself, labels and splits', async () => {
    const csv = '\uFEFFpath,label,split,note\r\na/1.jpg,cat,train,x\r\n"b, c.jpg","say ""hi""",VAL,\r\n/abs.jpg,,,\r\n';
    const path = await folder([], { 'set.csv': csv });
    expect(await listed(join(path, 'set.csv'))).toEqual({
      'a/1.jpg': 'cat train',
      'b, c.jpg': 'say "hi" val',
      [relative(path, '/abs.jpg')]: '- -',
    });
  });

  it('in JSONL does so too', async () => {
    const jsonl = '{"path": "1.jpg", "label": 7}\n\n{"path": "2.jpg", "label": null, "split": "test"}\n';
    const path = await folder([], { 'set.jsonl': jsonl });
    expect(await listed(join(path, 'set.jsonl'))).toEqual({ '1.jpg': '7 -', '2.jpg': '- test' });
  });

  it('gives groups and weights where it has them', async () => {
    const csv = 'path,group,weight\n1.jpg,subject 7,0.5\n2.jpg,,\n';
    const jsonl = '{"path": "1.jpg", "group": 7, "weight": 2.5}\n{"path": "2.jpg", "group": null}\n';
    const path = await folder([], { 'set.csv': csv, 'set.jsonl': jsonl });
    const entriesOf = async (name: string) => {
      const found = [];
      for await (const { group, weight } of (await openDataset(join(path, name))).entries())
        found.push({ group, weight });
      return found;
    };
    expect(await entriesOf('set.csv')).toEqual([{ group: 'subject 7', weight: 0.5 }, {}]);
    expect(await entriesOf('set.jsonl')).toEqual([{ group: '7', weight: 2.5 }, {}]);
  });

  it('gives lists of labels where it has them, sorted and each once; an empty one is a list, too', async () => {
    const csv = 'path,labels\n1.jpg,dog; cat;dog\n2.jpg,\n';
    const jsonl = '{"path": "1.jpg", "labels": ["dog", 7]}\n{"path": "2.jpg", "labels": []}\n{"path": "3.jpg"}\n';
    const both = 'path,label,labels\n1.jpg,cat,\n2.jpg,,cat\n';
    const path = await folder([], { 'set.csv': csv, 'set.jsonl': jsonl, 'both.csv': both });
    const entriesOf = async (name: string) => {
      const found = [];
      for await (const { label, labels } of (await openDataset(join(path, name))).entries()) {
        found.push({ label, labels });
      }
      return found;
    };
    expect(await entriesOf('set.csv')).toEqual([{ labels: ['cat', 'dog'] }, { labels: [] }]);
    expect(await entriesOf('set.jsonl')).toEqual([{ labels: ['7', 'dog'] }, { labels: [] }, {}]);
    expect(await entriesOf('both.csv')).toEqual([{ label: 'cat' }, { labels: ['cat'] }]);
  });

  it.each([
    [
      'both a label and labels',
      'set.jsonl',
      '{"path": "1.jpg", "labels": []}\n{"path": "2.jpg", "label": "cat", "labels": ["dog"]}\n',
      /line 2: there are both label, "cat", and labels, \["dog"\]/,
    ],
    [
      'a label with a NUL',
      'set.jsonl',
      '{"path": "1.jpg", "labels": ["a\\u0000b"]}\n',
      /line 1: the label "a\\u0000b" holds a NUL/,
    ],
    [
      'labels that are no texts',
      'set.jsonl',
      '{"path": "1.jpg", "labels": [null]}\n',
      /line 1: labels holds null, but text is expected/,
    ],
    ['labels that are no list', 'set.jsonl', '{"path": "1.jpg", "labels": {}}\n', /line 1: labels is \{\}/],
    ['no path', 'set.csv', 'file,label\n1.jpg,a\n', /line 2: no path.*this row has file, label/],
    ['an unknown split', 'set.csv', 'path,split\n1.jpg,train\n2.jpg,dev\n', /line 3: unknown split "dev". Use train/],
    ['a weight of 0', 'set.csv', 'path,weight\n1.jpg,0\n', /line 2: the weight is "0". It must be a number above 0/],
    ['a weight that is none', 'set.jsonl', '{"path": "1.jpg", "weight": "much"}', /line 1: the weight is "much"/],
    ['a path twice', 'set.csv', 'path\n1.jpg\n./1.jpg\n', /line 3: .*1\.jpg is already listed on line 2/],
    ['ragged rows', 'set.csv', 'path,label\n1.jpg\n', /set\.csv: .*columns/i],
    ['no JSON', 'set.jsonl', '{"path": "1.jpg"}\n{oops\n', /set\.jsonl, line 2: /],
    ['no object', 'set.jsonl', '["1.jpg"]\n', /line 1: an object such as/],
    ['a list as a label', 'set.jsonl', '{"path": "1.jpg", "label": ["a"]}\n', /line 1: label is \["a"\]/],
  ])('with %s is refused by line', async (_, name, text, message) => {
    const path = await folder([], { [name]: text });
    await expect(listed(join(path, name))).rejects.toThrow(message);
  });
});

describe('what is no data set', () => {
  it('is refused by name', async () => {
    await expect(openDataset(join(root, 'missing'))).rejects.toThrow(/no data set at .*missing: no such file/);
    const path = await folder(['set.xlsx']);
    await expect(openDataset(join(path, 'set.xlsx'))).rejects.toThrow(/set\.xlsx is not a data set/);
  });
});
