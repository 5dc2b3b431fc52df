import { stat } from 'node:fs/promises';
import { extname, resolve } from 'node:path';
import { LastlayerError } from '../errors.js';
import { NO_REGULAR_FILE } from '../regular-file.js';
import { openContainer, openContainers } from './containers/open-containers.js';
import type { Dataset } from './dataset.js';
import { openFolder } from './folder.js';
import { openManifest } from './manifest.js';

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
