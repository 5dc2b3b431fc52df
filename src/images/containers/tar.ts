import type { FileHandle } from 'node:fs/promises';
import { extract, type Header } from 'tar-stream';
import { LastlayerError, messageOf } from '../../errors.js';
import { openRegularFile } from '../../regular-file.js';

/** A member of a .tar: where its bytes are, and the bytes themselves of small ones that are wanted. */
export interface TarMember {
  name: string;
  offset: number;
  size: number;
  content?: Buffer;
}

const CHUNK = 2 ** 16;

/** What stands for the bytes of a member that nobody wants to read. */
const NOTHING = Buffer.alloc(2 ** 20);

/**
 * Lists the files of a .tar in their order. Of those whose content is not wanted nothing is read from the disk.
 * @param wants whether to read a member's content
 * @throws {LastlayerError} where it is damaged or ends too early
 */
export async function* tarMembers(
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
