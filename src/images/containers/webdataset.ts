import { basename } from 'node:path';
import { LastlayerError } from '../../errors.js';
import type { DatasetEntry, LeftOut, Split } from '../dataset.js';
import { isPicture } from '../folder.js';
import { tarMembers, type TarMember } from './tar.js';

/** Labels and the like; what is larger is something else. */
const MAX_SIDE_FILE = 2 ** 20;

const isSideFile = (name: string) => /\.(cls|json)$/i.test(name);

/**
 * The pictures of a WebDataset shard (https://github.com/webdataset/webdataset): members with the same name up to the first dot
 * of their file name belong together, and follow each other. A picture's label is the text of `.cls`, else `label` of `.json`.
 * A picture is named by its shard and its member: `/data/0001.tar/dog/17.jpg`.
 * @throws {LastlayerError} where the shard is damaged, or has two members of one name
 */
export async function* picturesOfShard(
  path: string,
  split: Split | undefined,
  leftOut: LeftOut,
): AsyncGenerator<DatasetEntry> {
  const names = new Set<string>();
  let sample: TarMember[] = [];
  const wants = (name: string, size: number) => isSideFile(name) && size <= MAX_SIDE_FILE;
  for await (const member of tarMembers(path, wants)) {
    if (basename(member.name).startsWith('.')) continue;
    if (names.size === names.add(member.name).size) {
      throw new LastlayerError(`${path} has two members of the name ${member.name}.`);
    }
    const [first] = sample;
    if (first && keyOf(first.name) !== keyOf(member.name)) {
      yield* entriesOf(sample, path, split, leftOut);
      sample = [];
    }
    sample.push(member);
  }
  yield* entriesOf(sample, path, split, leftOut);
}

/** Folder and name up to its first dot. */
function keyOf(name: string): string {
  return /^(?:.*\/)?[^/.]*/.exec(name)?.[0] ?? name;
}

function* entriesOf(
  sample: readonly TarMember[],
  shard: string,
  split: Split | undefined,
  leftOut: LeftOut,
): Generator<DatasetEntry> {
  const label = labelOf(sample, shard);
  for (const { name, offset, size } of sample) {
    const path = `${shard}/${name}`;
    if (isSideFile(name) || !isPicture(path, leftOut)) continue;
    yield {
      path,
      ...(label !== undefined && { label }),
      ...(split && { split }),
      source: { kind: 'part', file: shard, offset, size },
    };
  }
}

function labelOf(sample: readonly TarMember[], shard: string): string | undefined {
  const textOf = (ending: string) => sample.find(({ name }) => name.toLowerCase().endsWith(ending));
  const cls = textOf('.cls')?.content?.toString('utf8').trim();
  if (cls) return cls;
  const json = textOf('.json');
  if (!json?.content) return undefined;
  try {
    const { label } = JSON.parse(json.content.toString('utf8')) as { label?: unknown };
    return typeof label === 'string' || typeof label === 'number' ? String(label) : undefined;
  } catch {
    throw new LastlayerError(`${shard}: its member ${json.name} is no JSON.`);
  }
}
