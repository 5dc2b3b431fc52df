import { readdir, stat } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import { LastlayerError, withCode } from '../util/errors.js';
import { NOT_A_REGULAR_FILE } from '../util/files.js';
import { lazily } from '../util/lazily.js';
import { type Dataset, listedDataset, type Split, splitNamed, tellingTwins } from './dataset.js';
import { openFolder } from './folder.js';

/**
 * Opens a data set: an ImageFolder tree, a flat folder, a manifest (.csv, .tsv, .jsonl, .ndjson), WebDataset shards (.tar), Parquet
 * files with pictures (one file or a folder of them), or a Lance table with pictures (.lance).
 * @throws {LastlayerError} if there is nothing at the path, or something else
 */
export async function openDataset(path: string): Promise<Dataset> {
  return tellingTwins(await withCode('DATASET_UNUSABLE', () => openAny(path)));
}

const openManifest = lazily(async () => (await import('./manifest.js')).openManifest);

async function openAny(path: string): Promise<Dataset> {
  const root = resolve(path);
  const found = await stat(root).catch(() => undefined);
  if (!found) throw new LastlayerError(`There is no data set at ${root}: no such file or folder.`);
  if (!found.isDirectory() && !found.isFile()) {
    throw new LastlayerError(
      `The data set ${root} cannot be read: ${NOT_A_REGULAR_FILE}. Write it to a file first; it is read more than once.`,
    );
  }
  const ending = extname(root).toLowerCase();
  if (ending === '.lance') {
    const { picturesOfLance } = await import('./tables.js');
    return listedDataset(root, 'Lance table', () => picturesOfLance(root));
  }
  if (isContainer(ending)) return openContainers(root, ending, [{ path: root, split: undefined }]);
  if (found.isDirectory()) return (await openFolderOfContainers(root)) ?? openFolder(root);
  if (ending === '.csv' || ending === '.tsv') return openManifest(root, 'csv');
  if (ending === '.jsonl' || ending === '.ndjson') return openManifest(root, 'jsonl');
  throw new LastlayerError(
    `${root} is not a data set. Name a folder of pictures, a manifest (.csv, .tsv or .jsonl), a WebDataset shard (.tar, not compressed) ` +
      `or a table of pictures (.parquet, .lance).`,
  );
}

/** Files that hold many pictures, by their ending. What reads them is loaded for the first one. */
const CONTAINERS = {
  '.tar': { layout: 'WebDataset shards', load: async () => (await import('./webdataset.js')).picturesOfShard },
  '.parquet': { layout: 'Parquet files', load: async () => (await import('./tables.js')).picturesOfParquet },
} as const;

interface Container {
  path: string;
  split: Split | undefined;
}

function isContainer(ending: string): ending is keyof typeof CONTAINERS {
  return ending in CONTAINERS;
}

function openContainers(root: string, ending: keyof typeof CONTAINERS, containers: readonly Container[]): Dataset {
  const { layout, load } = CONTAINERS[ending];
  return listedDataset(root, layout, async function* (skipped) {
    const pictures = await load();
    for (const { path, split } of containers) yield* pictures(path, split, skipped);
  });
}

/**
 * Opens the .tar or .parquet files of a folder or, if it has folders, of its train, val and test. Undefined if there are
 * none: then it is a folder of pictures.
 */
async function openFolderOfContainers(root: string): Promise<Dataset | undefined> {
  const folders = (await readdir(root, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const splits = folders.flatMap(({ name }) => {
    const split = splitNamed(name);
    return split ? [{ folder: join(root, name), split }] : [];
  });
  const places = folders.length === 0 ? [{ folder: root, split: undefined }] : splits;
  for (const kind of Object.keys(CONTAINERS).filter(isContainer)) {
    const containers: Container[] = [];
    for (const { folder, split } of places) {
      const names = (await readdir(folder)).filter(
        (name) => extname(name).toLowerCase() === kind && !name.startsWith('.'),
      );
      containers.push(...names.sort().map((name) => ({ path: join(folder, name), split })));
    }
    if (containers.length > 0) return openContainers(root, kind, containers);
  }
  return undefined;
}
