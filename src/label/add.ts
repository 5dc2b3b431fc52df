import { readdir } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { PICTURE_ENDINGS } from '../data/folder.js';
import { readsLikeSplit, splitNamed } from '../data/dataset.js';
import { openDataset } from '../data/open.js';
import { thumbnailOfBytes } from '../image/thumbnail.js';
import { messageOf } from '../util/errors.js';
import { safeName } from '../util/file-names.js';
import { isFolder } from '../util/files.js';
import { writeNewFile } from '../util/placing.js';
import { stemOf } from './places.js';

/** A file that somebody has dropped, or a shot of a camera. */
export interface NewFile {
  name: string;
  bytes: Uint8Array;
}

/**
 * Where new pictures are saved, so that `embed` finds them there with the same label: in the folder of their class, within `train` if
 * there are folders of splits; without a class, or if its name cannot be a folder's, directly in the data set's folder, whose pictures
 * have no label. For a manifest, in `photos.added` beside `photos.csv`, in folders of the classes.
 * @param dataset absolute path
 */
export async function folderForNew(dataset: string, label: string | undefined): Promise<string> {
  if (!(await isFolder(dataset))) {
    const folder = join(dirname(dataset), `${stemOf(dataset)}.added`);
    return label === undefined ? folder : join(folder, safeName(label));
  }
  if (label === undefined) return dataset;
  const { layout } = await openDataset(dataset);
  const parent = layout === 'train/val/test folders' ? await trainFolder(dataset) : dataset;
  if (parent === undefined) return dataset;
  const known = (await readdir(parent)).find((name) => name.normalize() === label);
  if (known !== undefined && (await isFolder(join(parent, known)))) return join(parent, known);
  return isClassFolder(label) ? join(parent, label) : dataset;
}

async function trainFolder(dataset: string): Promise<string | undefined> {
  const name = (await readdir(dataset)).find((each) => splitNamed(each) === 'train');
  return name === undefined ? undefined : join(dataset, name);
}

/** Whether a folder of this name is a class of this name. */
function isClassFolder(label: string): boolean {
  return safeName(label) === label && !label.startsWith('.') && readsLikeSplit(label) === 'no';
}

/**
 * Saves a picture under its own name, or `name (2).jpg` if there is one.
 * @returns its path, or why it was refused
 * @throws a system error if it cannot be written
 */
export async function saveNew(
  folder: string,
  { name, bytes }: NewFile,
): Promise<{ path: string } | { refused: string }> {
  const [file = ''] = name.split(/[/\\]/).slice(-1);
  const ending = extname(file);
  if (!PICTURE_ENDINGS.has(ending.toLowerCase())) return { refused: "its name does not end like a picture's" };
  try {
    await thumbnailOfBytes(bytes, 64, 50);
  } catch (error) {
    return { refused: messageOf(error) };
  }
  return { path: await writeNewFile(folder, safeName(file.slice(0, -ending.length)) + ending, bytes) };
}
