import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { extract, type Header } from 'tar-stream';
import { LastlayerError, messageOf } from '../util/errors.js';
import { openRegularFile } from '../util/files.js';
import { type DatasetEntry, labelText, type SkippedFiles, type Split } from './dataset.js';
import { isPicture } from './folder.js';

/** A larger .cls or .json does not hold a label. */
const MAX_SIDE_FILE = 2 ** 20;

/**
 * The pictures of a WebDataset shard (https://github.com/webdataset/webdataset). Members that share their name up to the first
 * dot of the file name are one sample; they follow each other. The label is the text of `.cls`, else `label` of `.json`. A picture
 * is named by its shard and member: `/data/0001.tar/dog/17.jpg`.
 * @throws {LastlayerError} if the shard is damaged, or has two members of one name
 */
export async function* picturesOfShard(
  path: string,
  split: Split | undefined,
  skipped: SkippedFiles,
): AsyncGenerator<DatasetEntry> {
  const names = new Set<string>();
  let sample: TarMember[] = [];
  for await (const member of tarMembers(path)) {
    if (basename(member.name).startsWith('.')) continue;
    if (names.size === names.add(member.name).size) {
      throw new LastlayerError(`${path} has two members named ${member.name}.`);
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

/** A member of a .tar. */
interface TarMember {
  name: string;
  /** Where its bytes begin in the .tar. */
  offset: number;
  size: number;
  /** Of a small side file. */
  content?: Buffer | undefined;
}

/** What names a sample: the folder, and the file name up to its first dot. */
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
    yield { path, label, split, source: { kind: 'part', file: shard, offset, size } };
  }
}

function isSideFile(name: string): boolean {
  return /\.(cls|json)$/i.test(name);
}

function labelOf(sample: readonly TarMember[], shard: string): string | undefined {
  const sideFile = (ending: string) => sample.find(({ name }) => name.toLowerCase().endsWith(ending));
  const text = labelText(sideFile('.cls')?.content?.toString('utf8'));
  if (text !== undefined) return text;
  const json = sideFile('.json');
  if (!json?.content) return undefined;
  try {
    const { label } = JSON.parse(json.content.toString('utf8')) as { label?: unknown };
    return labelText(label);
  } catch {
    throw new LastlayerError(`${shard}: its member ${json.name} is not valid JSON.`);
  }
}

/** Lists the files of a .tar in their order. Reads only the content of small side files; skips all other content on the disk. */
async function* tarMembers(path: string): AsyncGenerator<TarMember> {
  const file = await openRegularFile(path).catch((error: unknown) => {
    throw unreadable(path, error);
  });
  const members = extract();
  const skip = { from: 0, to: 0 };
  const feeding = feed(file, members, skip).catch((error: unknown) => {
    members.destroy(error as Error);
  });
  try {
    for await (const member of members) {
      // The types lack byteOffset, which the library does give: where the content begins.
      const { name, size, type, byteOffset } = member.header as Header & { byteOffset: number };
      if (type !== 'file' && type !== 'contiguous-file') {
        member.resume();
      } else if (isSideFile(name) && size <= MAX_SIDE_FILE) {
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
    throw unreadable(path, error);
  } finally {
    members.destroy();
    await feeding;
    await file.close();
  }
}

function unreadable(path: string, error: unknown): LastlayerError {
  return new LastlayerError(`${path} cannot be read as a .tar: ${messageOf(error)}.`);
}

const CHUNK = 2 ** 16;
const ZEROS = Buffer.alloc(2 ** 20);

/** Writes a file to the extraction, with zeros in place of what is skipped. @param skip a range of bytes; it changes meanwhile */
async function feed(
  file: FileHandle,
  members: ReturnType<typeof extract>,
  skip: Readonly<{ from: number; to: number }>,
): Promise<void> {
  const { size } = await file.stat();
  const write = (chunk: Buffer) =>
    new Promise<void>((resolve) => {
      if (members.write(chunk)) {
        resolve();
        return;
      }
      const goOn = () => {
        members.off('drain', goOn).off('close', goOn);
        resolve();
      };
      members.on('drain', goOn).on('close', goOn);
    });
  for (let at = 0; at < size && !members.destroyed;) {
    if (at >= skip.from && at < skip.to) {
      const chunk = ZEROS.subarray(0, Math.min(ZEROS.length, skip.to - at));
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
