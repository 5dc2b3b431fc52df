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
  const base = /l$|sv$/.test(path) ? dirname(path) : path;
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
    expect(dataset.skipped).toEqual({ count: 1, examples: [join(path, 'notes.txt')], remarks: [] });
  });

  it('that mixes splits and classes is refused, with the names of both', async () => {
    const path = await folder(['train/a/1.jpg', 'cat/2.jpg']);
    await expect(openDataset(path)).rejects.toThrow(/split folders \(train\) beside others \(cat\)/);
  });

  it.each([
    [['training_set/a/1.jpg', 'test_set/a/2.jpg'], /test_set, training_set, which read like splits/],
    [['seg_train/a/1.jpg', 'seg_test/a/2.jpg', 'seg_pred_test/3.jpg'], /read like splits. Rename them to train/],
    [['Dev/a/1.jpg', 'Testing/a/2.jpg'], /Dev, Testing, which read like splits/],
    [['hymenoptera/ants/1.jpg', 'hymenoptera/bees/2.jpg'], /only folder .* is hymenoptera, which holds ants, bees/],
    [['known/a/1.jpg', 'known/b/2.jpg', 'new/a/3.jpg', 'new/b/4.jpg'], /known, new, all hold a, b, and no pictures/],
  ])('of %j is refused, as it is not clear which folders are the classes', async (files, message) => {
    const path = await folder(files);
    await expect(openDataset(path)).rejects.toThrow(message);
  });

  it.each([
    [
      ['a/x/1.jpg', 'b/y/2.jpg'],
      ['a', 'b'],
    ],
    [
      ['a/x/1.jpg', 'a/y/1.jpg', 'b/x/2.jpg', 'b/y/2.jpg', 'b/3.jpg'],
      ['a', 'b'],
    ],
    [['test/a/1.jpg'], ['a']],
    [
      ['steam-train/1.jpg', 'bullet_train/2.jpg'],
      ['bullet_train', 'steam-train'],
    ],
    [
      ['train tracks/1.jpg', 'tests/2.jpg', 'device/3.jpg'],
      ['device', 'tests', 'train tracks'],
    ],
    [['only/1.jpg', 'only/x/1.jpg', 'only/y/2.jpg'], ['only']],
  ])('of %j is taken, as it is clear', async (files, classes) => {
    const found = Object.values(await listed(await folder(files))).map((text) => text.slice(0, text.lastIndexOf(' ')));
    expect([...new Set(found)].sort()).toEqual(classes);
  });

  it('passes over what systems put there, and classes without pictures, and tells', async () => {
    const path = await folder([
      ...['ant/1.jpg', 'ant/@eaDir/1.jpg/thumb.png', 'bee/2.jpg', 'wasp/notes.txt'],
      ...['@eaDir/3.jpg', '#recycle/4.jpg', '$RECYCLE.BIN/5.jpg', '__MACOSX/ant/._1.jpg', 'lost+found/6.jpg'],
    ]);
    expect(await listed(path)).toEqual({ 'ant/1.jpg': 'ant -', 'bee/2.jpg': 'bee -' });
    const dataset = await openDataset(path);
    for (let time = 0; time < 2; time++) {
      let count = 0;
      for await (const { label } of dataset.entries()) if (label) count++;
      expect(count).toBe(2);
      expect([...dataset.skipped.remarks].sort()).toEqual([
        ...['#recycle', '$RECYCLE.BIN', '@eaDir', '__MACOSX', 'ant/@eaDir', 'lost+found'].map(
          (name) => `${join(path, name)} is a folder of the system, so it was passed over.`,
        ),
        `${join(path, 'wasp')} holds no pictures, so it is no class.`,
      ]);
    }
    const split = await openDataset(await folder(['train/a/1.jpg', '__MACOSX/train/a/1.jpg']));
    for await (const { path: file } of split.entries()) expect(file).not.toContain('__MACOSX');
    expect(split.skipped.remarks).toEqual([expect.stringMatching(/__MACOSX is a folder of the system/)]);
  });

  it('of one name in two forms of Unicode is one class', async () => {
    const path = await folder(['train/M\u00e4use/1.jpg', 'val/Ma\u0308use/2.jpg']);
    expect(Object.values(await listed(path)).sort()).toEqual(['M\u00e4use train', 'M\u00e4use val']);
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

  it.each([
    ['semicolons', 'set.csv', 'path;label;split\n"a;b.jpg";cat;train\n'],
    ['tabs', 'set.csv', 'path\tlabel\tsplit\na;b.jpg\tcat\ttrain\n'],
    ['the separator in a line of its own', 'set.csv', 'sep=;\r\npath;label;split\r\n"a;b.jpg";cat;train\r\n'],
    ['tabs and the ending that says so', 'set.tsv', 'path\tlabel\tsplit\na;b.jpg\tcat\ttrain\n'],
    ['column names in another case', 'set.csv', ' Path ,LABEL,Split\na;b.jpg,cat,train\n'],
    ['a byte order mark', 'set.jsonl', '\uFEFF{"path": "a;b.jpg", "label": "cat", "split": "train"}\r\n'],
    ['spaces around texts', 'set.jsonl', '{"path": "a;b.jpg", "label": " cat ", "split": " train"}'],
    ['spaces within quotes', 'set.csv', 'path,label,split\na;b.jpg,"cat ","train "\n'],
  ])('may have %s', async (_, name, text) => {
    const path = await folder([], { [name]: text });
    expect(await listed(join(path, name))).toEqual({ 'a;b.jpg': 'cat train' });
  });

  it.each(['constructor', 'toString', '__proto__', 'hasOwnProperty'])('may have the label %s', async (label) => {
    const path = await folder([], { 'set.csv': `path,label\n1.jpg,${label}\n` });
    expect(await listed(join(path, 'set.csv'))).toEqual({ '1.jpg': `${label} -` });
  });

  it('tells which columns are not read, and labels that look like several', async () => {
    const csv = 'path,labels,width,issue\n1.jpg,cat|dog,5,\n2.jpg,"[""cat"", ""dog""]",5,\n3.jpg,"[\'cat\']",5,\n';
    const path = join(await folder([], { 'set.csv': csv }), 'set.csv');
    const dataset = await openDataset(path);
    const labels = [];
    for await (const entry of dataset.entries()) labels.push(entry.labels);
    expect(labels).toEqual([['cat|dog'], ['cat', 'dog'], ['cat']]);
    expect(dataset.skipped.remarks).toEqual([
      `${path}: the column width is not read; the columns that are read are path, label, labels, split, group, weight.`,
      `${path}: the label "cat|dog" counts as one. Write ; between labels if it is several.`,
    ]);
  });

  it.each([
    [
      'set.csv',
      'path,label\n1.jpg,Biene\n2.jpg,M\u00e4use\n',
      'latin1',
      /line 3: the byte e4 is not UTF-8.*2\.jpg,Mäuse.*CSV UTF-8/,
    ],
    ['set.jsonl', '{"path": "1.jpg", "label": "M\u00f6we"}\n', 'latin1', /line 1: the byte f6 is not UTF-8.*Möwe/],
    // Whole characters of several bytes come before the one that is not.
    ['set.csv', 'path,label\n\xe4\xb8\xad\xe6\x96\x87.jpg,M\xf6we\n', 'latin1', /line 2: the byte f6 is not UTF-8/],
    ['set.csv', '\uFEFFpath,label\n1.jpg,a\n', 'utf16le', /set\.csv is UTF-16\. Save the manifest as UTF-8/],
  ] as const)('that is not UTF-8 is refused: %s, %j in %s', async (name, text, encoding, message) => {
    const path = join(await folder([]), name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text, encoding);
    await expect(listed(path)).rejects.toThrow(message);
  });

  it('that was written on Windows has its paths found, and that is told', async () => {
    const csv = 'path,label\ntrain\\ant\\1.jpg,ant\n.\\bee/2.jpg,bee\na\\b.jpg,bee\nx\\missing.jpg,bee\n';
    // A name with a backslash of its own is kept.
    const path = await folder(['train/ant/1.jpg', 'bee/2.jpg', 'a\\b.jpg', 'a/b.jpg'], { 'set.csv': csv });
    const dataset = await openDataset(join(path, 'set.csv'));
    const paths = [];
    for await (const entry of dataset.entries()) paths.push(entry.path);
    expect(paths).toEqual(
      ['train/ant/1.jpg', 'bee/2.jpg', 'a\\b.jpg', 'x\\missing.jpg'].map((name) => join(path, name)),
    );
    expect(await dataset.contains(join(path, 'train/ant/1.jpg'))).toBe(true);
    expect(dataset.skipped.remarks).toEqual([
      `${path}/set.csv: \\ in paths was read as /, as Windows means it, in 2 of 4 rows (the first is train\\ant\\1.jpg).`,
    ]);
    const twice = await folder(['a/1.jpg'], { 'set.csv': 'path\na/1.jpg\na\\1.jpg\n' });
    await expect(listed(join(twice, 'set.csv'))).rejects.toThrow(/line 3: .*a\/1\.jpg is already listed on line 2/);
  });

  it('has the same labels in CSV and JSONL: numbers, true and none', async () => {
    const csv = 'path,label\n1.jpg,7\n2.jpg,true\n3.jpg,\n4.jpg,  \n5.jpg,1.5\n6.jpg,0\n';
    const labels = ['7', 'true', 'null', '"  "', '1.5', '0'];
    const jsonl = labels.map((label, i) => `{"path": "${i + 1}.jpg", "label": ${label}}`).join('\n');
    const path = await folder([], { 'set.csv': csv, 'set.jsonl': jsonl });
    const expected = Object.fromEntries(
      ['7', 'true', '-', '-', '1.5', '0'].map((label, i) => [`${i + 1}.jpg`, `${label} -`]),
    );
    expect(await listed(join(path, 'set.csv'))).toEqual(expected);
    expect(await listed(join(path, 'set.jsonl'))).toEqual(expected);
  });

  it('has one label of two forms of Unicode, and one group', async () => {
    const csv = 'path,label,group\n1.jpg,M\u00e4use,S\u00e4\n2.jpg,Ma\u0308use,Sa\u0308\n';
    const dataset = await openDataset(join(await folder([], { 'set.csv': csv }), 'set.csv'));
    const found = [];
    for await (const { label, group } of dataset.entries()) found.push([label, group]);
    expect(found).toEqual(Array(2).fill(['M\u00e4use', 'S\u00e4']));
    expect(dataset.skipped.remarks).toEqual([]);
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
    [
      'a number that loses its digits',
      'set.jsonl',
      '{"path": "1.jpg", "label": 12345678901234567890}\n',
      /line 1: label is a number too large .*quotes/,
    ],
    ['no path', 'set.csv', 'where,label\n1.jpg,a\n', /line 2: no path.*this row has where, label/],
    ['no header', 'set.csv', '1.jpg,a\n2.jpg,b\n', /line 2: no path.*this row has 1\.jpg, a\..*in the first line/],
    [
      'an unknown separator',
      'set.csv',
      'path|label\n1.jpg|a\n',
      /line 2: no path.*has path\|label\..*semicolons or tabs/,
    ],
    ['a wrong row below a separator', 'set.csv', 'sep=;\npath;split\n1.jpg;dev\n', /line 3: unknown split "dev"/],
    ['an empty path', 'set.jsonl', '{"path": "", "label": "a"}\n', /line 1: no path/],
    ['another name of a column', 'set.csv', 'file_name,label\n1.jpg,a\n', /a column file_name but none named path/],
    ['another name of the split', 'set.jsonl', '{"path": "1.jpg", "Subset": "val"}\n', /Subset but none named split/],
    ['a column twice', 'set.csv', 'path,label,label\n1.jpg,a,b\n', /set\.csv: there are two columns label/],
    [
      'a column twice but for case',
      'set.jsonl',
      '{"path": "1.jpg", "label": "a", "Label": "b"}\n',
      /line 1: .*two columns label/,
    ],
    [
      'a list as the text of a label',
      'set.csv',
      `path,label\n1.jpg,"['a', 'b']"\n`,
      /line 2: .*is a list.*labels.*a;b/,
    ],
    ['a broken list', 'set.csv', 'path,labels\n1.jpg,"[a, b]"\n', /line 2: labels is \[a, b\], which is no list/],
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

describe('labels that are the same but for case or spaces', () => {
  const told = async (path: string) => {
    const dataset = await openDataset(path);
    for (let time = 0; time < 2; time++)
      for await (const { path: file } of dataset.entries()) expect(file).toBeTruthy();
    return dataset.skipped.remarks;
  };

  it('stay classes of their own, and are told with their counts', async () => {
    const path = await folder(['train/Ant/1.jpg', 'train/Ant/2.jpg', 'val/ant/3.jpg', 'train/bee/4.jpg']);
    expect(await told(path)).toEqual([
      'The labels "Ant" (2 pictures) and "ant" (1 picture) differ only in case, spaces or letter forms, but count as 2 classes. ' +
        'If they are one class, give them one name.',
    ]);
  });

  it('are told of manifests, too, and of lists of labels', async () => {
    const csv = 'path,label\n1.jpg,red ant\n2.jpg,Red  ant\n3.jpg,red\u00a0ant\n4.jpg,red-ant\n';
    const lists = '{"path": "1.jpg", "labels": ["cat", "Cat"]}';
    const path = await folder([], { 'set.csv': csv, 'set.jsonl': lists });
    expect(await told(join(path, 'set.csv'))).toEqual([
      expect.stringMatching(
        /"Red {2}ant" \(1 picture\) and "red ant" \(1 picture\) and "red\\u00a0ant" \(1 picture\).* 3 classes/,
      ),
    ]);
    expect(await told(join(path, 'set.jsonl'))).toEqual([
      expect.stringMatching(/"Cat" \(1 picture\) and "cat" \(1 picture\)/),
    ]);
  });
});

describe('what is no data set', () => {
  it('is refused by name', async () => {
    await expect(openDataset(join(root, 'missing'))).rejects.toThrow(/no data set at .*missing: no such file/);
    const path = await folder(['set.xlsx']);
    await expect(openDataset(join(path, 'set.xlsx'))).rejects.toThrow(/set\.xlsx is not a data set/);
  });
});
