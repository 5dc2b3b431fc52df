import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { extract, type Header } from 'tar-stream';
import { LastlayerError, messageOf } from '../util/errors.js';
import { openRegularFile } from '../util/files.js';
import type { DatasetEntry, SkippedFiles, Split } from './dataset.js';
import { isPicture } from './folder.js';

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
  skipped: SkippedFiles,
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
      yield* entriesOf(sample, path, split, skipped);
      sample = [];
    }
    sample.push(member);
  }
  yield* entriesOf(sample, path, split, skipped);
}

/** Folder and name up to its first dot. */
function keyOf(name: string): string {
  return /^(?:.*\/)?[^/.]*/.exec(name)?.[0] ?? name;
}

function* entriesOf(
  sample: readonly TarMember[],
  shard: string,
  split: Split | undefined,
  skipped: SkippedFiles,
): Generator<DatasetEntry> {
  const label = labelOf(sample, shard);
  for (const { name, offset, size } of sample) {
    const path = `${shard}/${name}`;
    if (isSideFile(name) || !isPicture(path, skipped)) continue;
    yield {
      path,
      label,
      split,
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

/** A member of a .tar: where its bytes are, and the bytes themselves of small ones that are wanted. */
interface TarMember {
  name: string;
  offset: number;
  size: number;
  content?: Buffer | undefined;
}

const CHUNK = 2 ** 16;

/** What stands for the bytes of a member that nobody wants to read. */
const NOTHING = Buffer.alloc(2 ** 20);

/**
 * Lists the files of a .tar in their order. Of those whose content is not wanted nothing is read from the disk.
 * @param wants whether to read a member's content
 * @throws {LastlayerError} where it is damaged or ends too early
 */
async function* tarMembers(
  path: string,
  wants: (name: string, size: number) => boolean,
): AsyncGenerator<TarMember> {
  const file = await openRegularFile(path).catch((error: unknown) => {
    throw new LastlayerError(`${path} cannot be read as a .tar: ${messageOf(error)}.`);
  });
  const members = extract();
  const skip = { from: 0, to: 0 };
  const feeding = feed(file, members, skip).catch((error: unknown) => {
    members.destroy(error as Error);
  });
  try {
    for await (const member of members) {
      // The type declaration lacks what the library gives: where the content begins.
      const { name, size, type, byteOffset } = member.header as Header & { byteOffset: number };
      if (type !== 'file' && type !== 'contiguous-file') {
        member.resume();
        continue;
      }
      if (wants(name, size)) {
        const chunks: Buffer[] = [];
        for await (const chunk of member) chunks.push(chunk as Buffer);
        yield { name, offset: byteOffset, size, content: Buffer.concat(chunks) };
      } else {
        Object.assign(skip, { from: byteOffset, to: byteOffset + size });
        member.resume();
        yield { name, offset: byteOffset, size };
      }
    }
  } catch (error) {
    throw new LastlayerError(`${path} cannot be read as a .tar: ${messageOf(error)}.`);
  } finally {
    members.destroy();
    await feeding;
    await file.close();
  }
}

/** Writes a file into the extraction, with zeros for what is skipped. */
async function feed(
  file: FileHandle,
  members: ReturnType<typeof extract>,
  skip: Readonly<{ from: number; to: number }>,
): Promise<void> {
  const { size } = await file.stat();
  const write = (chunk: Buffer) =>
    new Promise<void>((resolve) => {
      if (members.write(chunk)) resolve();
      else members.once('drain', resolve).once('close', resolve);
    });
  for (let at = 0; at < size && !members.destroyed;) {
    if (at >= skip.from && at < skip.to) {
      const chunk = NOTHING.subarray(0, Math.min(NOTHING.length, skip.to - at));
      at += chunk.length;
      await write(chunk);
    } else {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(CHUNK), 0, CHUNK, at);
      if (bytesRead === 0) break;
      at += bytesRead;
      await write(buffer.subarray(0, bytesRead));
    }
  }
  members.end(undefined);
}
