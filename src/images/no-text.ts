import { lstat, readdir } from 'node:fs/promises';

/** Why a file is not read of which the name's bytes are no UTF-8, as it can be where other systems wrote it. */
export const NO_TEXT = 'its name is not valid UTF-8, so it cannot be kept in the store; rename it';

/** Node's sign for bytes that are no UTF-8. */
const REPLACEMENT = '\ufffd';

/** Whether a name is none that leads to its file. (The sign itself may be in a name, too.) */
export async function isNoText(name: string, path: string): Promise<boolean> {
  if (!name.includes(REPLACEMENT)) return false;
  return lstat(path).then(
    () => false,
    () => true,
  );
}

/** The names in a folder that are no UTF-8, with all bytes beyond ASCII as `\xff`, so that each is told from the others. */
export async function namesThatAreNoText(folder: string): Promise<{ name: string; isDirectory: boolean }[]> {
  const entries = await readdir(folder, { withFileTypes: true, encoding: 'buffer' });
  return entries
    .filter(({ name }) => name[0] !== 0x2e && !Buffer.from(name.toString()).equals(name))
    .map((entry) => ({
      name: entry.name
        .toString('latin1')
        .replace(/[\x80-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`),
      isDirectory: entry.isDirectory(),
    }));
}
