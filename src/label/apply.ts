import { resolve } from 'node:path';
import { ClassFolders } from '../classify/class-folders.js';
import { UsageError } from '../util/errors.js';
import { withDefaults } from '../util/validate.js';
import { locate } from './begin.js';
import { DEFAULTS, type LabelOptions } from './options.js';
import { isAddress, isBelow } from './places.js';
import { LabelSession } from './session.js';

/** What came of the labelled pictures. */
export interface Applied {
  /** Absolute path of the data set. */
  dataset: string;
  manifest: string;
  /** Pictures that were put into folders, */
  placed: number;
  /** that were there already, */
  present: number;
  /** and that are gone, or lie on a server. */
  missing: string[];
  /** Labels whose folders have other names than they. */
  renamed: ReadonlyMap<string, string>;
}

/**
 * Puts the labelled pictures of a data set into a folder for each class, see {@link ClassFolders}. The pictures themselves stay where
 * they are.
 * @param folder of the folders
 * @throws {UsageError} if it lies in the data set
 * @throws {LastlayerError} as `startLabelling` does, or if the folder cannot be written to
 */
export async function applyLabels(options: LabelOptions, kind: 'copy' | 'link', folder: string): Promise<Applied> {
  const settings = withDefaults(options, DEFAULTS);
  const { dataset } = await locate(settings);
  if (isBelow(folder, dataset) || resolve(folder) === dataset) {
    throw new UsageError(`${folder} lies in the data set, where its folders would be classes. Name one elsewhere.`);
  }
  const session = await LabelSession.open(settings);
  try {
    const { manifest, multilabel } = session;
    const labelled = [...session.labelled()];
    const labels = new Set(labelled.flatMap((picture) => picture.labels));
    const folders = new ClassFolders(folder, kind, { labels, isMultilabel: multilabel });
    const applied = { dataset, manifest, placed: 0, present: 0, missing: [] as string[], renamed: folders.renamed };
    for (const picture of labelled) {
      options.signal?.throwIfAborted();
      const result = isAddress(picture.path) ? 'gone' : await folders.place(picture.path, picture.labels);
      if (result === 'gone') applied.missing.push(picture.path);
      else applied[result]++;
    }
    return applied;
  } finally {
    await session.close();
  }
}
