import { readdir, stat } from 'node:fs/promises';
import { extname, join, resolve } from 'node:path';
import { LastlayerError } from '../util/errors.js';
import { NO_REGULAR_FILE } from '../util/files.js';
import { type Dataset, type DatasetEntry, type SkippedFiles, type Split, splitNamed } from './dataset.js';
import { openFolder } from './folder.js';
import { openManifest } from './manifest.js';
import { picturesOfLance, picturesOfParquet } from './tables.js';
import { picturesOfShard } from './webdataset.js';

/**
 * Opens a data set: an ImageFolder tree, a flat folder, a manifest (.csv, .jsonl, .ndjson), WebDataset shards (.tar), Parquet
 * files with pictures (one file or a folder of them), or a Lance table with pictures (.lance).
 * @throws {LastlayerError} where there is nothing at the path, or it is of another kind
 */
export async function openDataset(path: string): Promise<Dataset> {
  const root = resolve(path);
  const found = await stat(root).catch(() => undefined);
  if (!found) throw new LastlayerError(`There is no data set at ${root}: no such file or folder.`);
  if (!found.isDirectory() && !found.isFile()) {
    throw new LastlayerError(
      `The data set ${root} cannot be read: ${NO_REGULAR_FILE}. Write it into one first, which can be read as often as it takes.`,
    );
  }
  const container = openContainer(root);
  if (container) return container;
  if (found.isDirectory()) return (await openContainers(root)) ?? openFolder(root);
  const ending = extname(root).toLowerCase();
  if (ending === '.csv') return openManifest(root, 'csv');
  if (ending === '.jsonl' || ending === '.ndjson') return openManifest(root, 'jsonl');
  throw new LastlayerError(
    `${root} is no data set: a folder of pictures, a manifest (.csv or .jsonl), a WebDataset shard (.tar, not compressed) or a ` +
      `table of pictures (.parquet, .lance) is expected.`,
  );
}

/** Files of many pictures, by their ending. */
const KINDS = {
  '.tar': { layout: 'WebDataset shards', pictures: picturesOfShard },
  '.parquet': { layout: 'Parquet files', pictures: picturesOfParquet },
} as const;
type Kind = keyof typeof KINDS;

interface Container {
  path: string;
  split: Split | undefined;
}

/** A data set of one file of many pictures: a .tar, a .parquet or a .lance folder; undefined where it is none of them. */
function openContainer(root: string): Dataset | undefined {
  const kind = extname(root).toLowerCase();
  if (kind === '.lance') return datasetOf(root, 'Lance table', () => picturesOfLance(root));
  return isKind(kind) ? ofContainers(root, kind, [{ path: root, split: undefined }]) : undefined;
}

/**
 * A data set of such files in a folder, or in its folders train, val and test; undefined where it has none. Class folders and
 * the like come before.
 */
async function openContainers(root: string): Promise<Dataset | undefined> {
  const folders = (await readdir(root, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const splits = folders.flatMap(({ name }) => {
    const split = splitNamed(name);
    return split ? [{ folder: join(root, name), split }] : [];
  });
  const places = folders.length === 0 ? [{ folder: root, split: undefined }] : splits;
  for (const kind of Object.keys(KINDS).filter(isKind)) {
    const containers: Container[] = [];
    for (const { folder, split } of places) {
      const names = (await readdir(folder)).filter(
        (name) => extname(name).toLowerCase() === kind && !name.startsWith('.'),
      );
      containers.push(...names.sort().map((name) => ({ path: join(folder, name), split })));
    }
    if (containers.length > 0) return ofContainers(root, kind, containers);
  }
  return undefined;
}

function isKind(ending: string): ending is Kind {
  return ending in KINDS;
}

function ofContainers(root: string, kind: Kind, containers: readonly Container[]): Dataset {
  const { layout, pictures } = KINDS[kind];
  return datasetOf(root, layout, async function* (skipped) {
    for (const { path, split } of containers) yield* pictures(path, split, skipped);
  });
}

function datasetOf(
  root: string,
  layout: string,
  list: (skipped: SkippedFiles) => AsyncIterable<DatasetEntry>,
): Dataset {
  const skipped: SkippedFiles = { count: 0, examples: [] };
  let listed: Promise<Set<string>> | undefined;
  const entries = () => {
    skipped.count = skipped.examples.length = 0;
    return list(skipped);
  };
  return {
    root,
    layout,
    skipped,
    entries,
    contains: async (path) => (await (listed ??= pathsOf(list({ count: 0, examples: [] })))).has(path),
  };
}

async function pathsOf(entries: AsyncIterable<DatasetEntry>): Promise<Set<string>> {
  const paths = new Set<string>();
  for await (const { path } of entries) paths.add(path);
  return paths;
}
