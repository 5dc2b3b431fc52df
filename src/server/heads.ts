import { unwatchFile, watchFile } from 'node:fs';
import type { Backbone } from '../backbone/backbone.js';
import { checkBackbone } from '../classify/classifier.js';
import { readHead, readHeadFile } from '../head/file.js';
import type { Head } from '../head/head.js';
import { LastlayerError } from '../util/errors.js';
import { sha256Of } from '../util/hash.js';
import { HttpError } from './http-error.js';

/** A head as clients know it. */
export interface ServedHead {
  name: string;
  /** `<name>@<first 12 digits of the file's sha256>` */
  id: string;
  head: Head;
  /** When it was read; ISO 8601. */
  loaded: string;
}

interface HeadEvents {
  /** A file changed and its head is served from now on. */
  onReload: (head: ServedHead) => void;
  /** A file changed and the old head is kept, for this reason. */
  onKept: (name: string, reason: string) => void;
}

/** The heads that are served, all on one backbone. A request keeps the head that it began with, whatever becomes of the file. */
export class Heads {
  private readonly served = new Map<string, ServedHead>();
  private readonly watched: string[] = [];

  private constructor(
    private readonly files: ReadonlyMap<string, string>,
    readonly first: ServedHead,
  ) {}

  /** @throws {LastlayerError} where one cannot be read or is no head */
  static async load(files: Readonly<Record<string, string>>): Promise<Heads> {
    const heads = await Promise.all(Object.entries(files).map(([name, path]) => read(name, path)));
    const [first] = heads;
    if (!first) throw new LastlayerError('There is no head to serve.');
    const loaded = new Heads(new Map(Object.entries(files)), first);
    for (const head of heads) loaded.served.set(head.name, head);
    return loaded;
  }

  /** @throws {LastlayerError} where one belongs to another backbone; the message names its file */
  check(backbone: Backbone): void {
    for (const { name, head } of this.served.values()) checkBackbone(head, backbone, this.files.get(name));
  }

  list(): ServedHead[] {
    return [...this.served.values()];
  }

  /**
   * @param name undefined for the first one
   * @throws {HttpError} 404 where there is none of this name
   */
  get(name: string = this.first.name): ServedHead {
    const head = this.served.get(name);
    if (head) return head;
    const names = [...this.served.keys()].join(', ');
    throw new HttpError(
      404,
      'no_such_head',
      `There is no head ${JSON.stringify(name)} here; there is ${names}.`,
    );
  }

  /**
   * Reads heads anew when their files change. One that is torn, damaged or of another backbone is not taken.
   * @param interval between two looks at a file, in ms
   */
  watch(backbone: Backbone, interval: number, events: HeadEvents): void {
    for (const [name, path] of this.files) {
      this.watched.push(path);
      watchFile(path, { interval, persistent: false }, () => void this.reload(name, path, backbone, events));
    }
  }

  close(): void {
    for (const path of this.watched) unwatchFile(path);
  }

  private async reload(name: string, path: string, backbone: Backbone, events: HeadEvents): Promise<void> {
    try {
      const head = await read(name, path);
      if (head.id === this.served.get(name)?.id) return;
      checkBackbone(head.head, backbone, path);
      this.served.set(name, head);
      events.onReload(head);
    } catch (error) {
      if (!(error instanceof LastlayerError)) throw error;
      events.onKept(name, error.message);
    }
  }
}

async function read(name: string, path: string): Promise<ServedHead> {
  const bytes = await readHeadFile(path);
  const digest = sha256Of(bytes).slice(0, 12);
  return { name, id: `${name}@${digest}`, head: readHead(bytes, path), loaded: new Date().toISOString() };
}
