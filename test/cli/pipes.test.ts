import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fetchModel } from '../../src/backbone/fetch/fetch-model.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { embedDataset } from '../../src/embed/embed.js';
import { loadHead } from '../../src/head/file.js';
import { lastlayer } from '../support/command-line.js';
import { stripes, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

// Nobody ever writes into them, so that whoever waits for one waits for good.
const folder = await temporaryFolder();
const pipe = (name: string) => {
  const path = join(folder, name);
  execFileSync('mkfifo', [path]);
  return path;
};
const model = join(folder, 'small.onnx');
await writeFile(model, smallNetwork());
await writeFile(join(folder, 'picture.png'), await stripes(0, 1));

it.each(['all.csv', 'all.jsonl', 'all.tar', 'all.parquet', 'all'])(
  'a pipe is not waited for where a data set is expected: %s',
  async (name) => {
    const path = pipe(name);
    const backbone = await loadBackbone({ model });
    await expect(embedDataset(path, { backbone, store: join(folder, 'store') })).rejects.toThrow(
      `The data set ${path} cannot be read: it is not a regular file.`,
    );
  },
);

it.each(['a.tar', 'a.parquet'])('nor in a folder of such files: %s', async (name) => {
  const shards = join(folder, `${name.slice(2)} files`);
  await mkdir(shards);
  const path = pipe(join(`${name.slice(2)} files`, name));
  const backbone = await loadBackbone({ model });
  await expect(embedDataset(shards, { backbone, store: join(folder, 'store') })).rejects.toThrow(
    new RegExp(`${path} cannot be read as .*: it is not a regular file`),
  );
});

it('nor where a head or a source of a network is expected', async () => {
  const path = pipe('pipe');
  await expect(loadHead(path)).rejects.toThrow(`The head file ${path} cannot be read: it is not a regular file.`);
  await expect(fetchModel({ from: path, out: join(folder, 'out.onnx') })).rejects.toThrow(
    `The model ${path} cannot be read: it is not a regular file.`,
  );
});

it('nor where predict is given one for a picture, a head or a network', async () => {
  pipe('card.json');
  await writeFile(join(folder, 'card.onnx'), smallNetwork());
  const path = pipe('any');
  const own = ['predict', '--pretrained-classes', '--model'];
  const outcomes = [
    [...own, model, path],
    [...own, path, 'picture.png'],
    [...own, 'card.onnx', 'picture.png'],
    ['predict', '--head', path, 'picture.png'],
  ].map((args) => lastlayer(args, folder));
  const told = (await Promise.all(outcomes)).map(({ code, stdout, stderr }) => {
    expect(stdout).toBe('');
    return `${code} ${stderr}`;
  });
  expect(told).toEqual([
    `3 Error: ${path} cannot be read: it is not a regular file.\n`,
    `1 Error: The model ${path} cannot be read: it is not a regular file.\n`,
    `1 Error: The model card ${join(folder, 'card.json')} cannot be read: it is not a regular file.\n`,
    `1 Error: The head file ${path} cannot be read: it is not a regular file.\n`,
  ]);
});
