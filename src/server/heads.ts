import { unwatchFile, watchFile } from 'node:fs';
import type { Backbone } from '../backbone/backbone.js';
import { checkBackbone } from '../classify/classifier.js';
import { readHead, readHeadFile } from '../head/file.js';
import type { Head } from '../head/head.js';
import { isClearlyBetter } from '../head/task.js';
import type { UnknownRate } from '../head/unknown.js';
import { trainingMetrics } from '../report/evaluate.js';
import { LastlayerError, messageOf, UsageError } from '../util/errors.js';
import { sha256Of } from '../util/hash.js';
import { HttpError } from './errors.js';

export interface ServedHead {
  name: string;
  path: string;
  /** `<name>@<first 12 digits of the file's sha256>` */
  id: string;
  head: Head;
  /** When the file was read; ISO 8601. */
  loaded: string;
}

interface HeadEvents {
  /** A file changed, and its head is served from now on. */
  onReload: (head: ServedHead) => void;
  /** A file changed but cannot be used, so the old head stays in service. */
  onReject: (name: string, reason: string) => void;
}

interface HeadSettings {
  /** Of all heads but multilabel ones. @default as each head was trained */
  unknown?: UnknownRate | undefined;
}

/** The heads in service, all of one backbone. A request in progress keeps the head that it began with. */
export class Heads {
  private readonly byName: Map<string, ServedHead>;

  private constructor(
    heads: readonly ServedHead[],
    /** The default head, as it was loaded first. */
    readonly first: ServedHead,
    private readonly settings: HeadSettings,
  ) {
    this.byName = new Map(heads.map((head) => [head.name, head]));
  }

  /** @throws {LastlayerError} if there is none, or a file cannot be read, is not a head or takes no such rate */
  static async load(files: Readonly<Record<string, string>>, settings: HeadSettings = {}): Promise<Heads> {
    const heads = await Promise.all(Object.entries(files).map(([name, path]) => readServed(name, path, settings)));
    const [first] = heads;
    if (!first) throw new LastlayerError('There is no head to serve.');
    return new Heads(heads, first, settings);
  }

  /** @throws {LastlayerError} if a head belongs to another backbone; the message names its file */
  check(backbone: Backbone): void {
    for (const { head, path } of this.list()) checkBackbone(head, backbone, path);
  }

  list(): ServedHead[] {
    return [...this.byName.values()];
  }

  /**
   * @param name undefined for the default head
   * @throws {HttpError} 404 if there is no head of this name
   */
  get(name: string = this.first.name): ServedHead {
    const head = this.byName.get(name);
    if (head) return head;
    const names = [...this.byName.keys()].join(', ');
    throw new HttpError(404, 'unknown_head', `There is no head ${JSON.stringify(name)}. Use one of: ${names}.`);
  }

  /**
   * Reloads heads when their files change, unless the new file is damaged or belongs to another backbone.
   * @param interval between two checks of a file, in ms
   */
  watch(backbone: Backbone, interval: number, events: HeadEvents): void {
    for (const { name, path } of this.list()) {
      watchFile(path, { interval, persistent: false }, () => void this.reload(name, path, backbone, events));
    }
  }

  close(): void {
    for (const { path } of this.list()) unwatchFile(path);
  }

  private async reload(name: string, path: string, backbone: Backbone, events: HeadEvents): Promise<void> {
    try {
      const head = await readServed(name, path, this.settings);
      if (head.id === this.byName.get(name)?.id) return;
      checkBackbone(head.head, backbone, path);
      this.byName.set(name, head);
      events.onReload(head);
    } catch (error) {
      if (!(error instanceof LastlayerError)) throw error;
      events.onReject(name, error.message);
    }
  }
}

/** How good a head was on the pictures that it was not trained on, beside always answering the most common class. */
export interface ServedBaseline {
  /** The most common class. */
  label: string;
  /** Of always answering it; 0 … 1. */
  accuracy: number;
  /** Of the head; 0 … 1. */
  headAccuracy: number;
  /** How many pictures both were evaluated on. */
  pictures: number;
  /** See {@link isClearlyBetter}. */
  clearlyBetter: boolean;
}

/** @returns null for a multilabel head, and for one that does not say how good it is */
export function baselineOf(head: Head): ServedBaseline | null {
  const { baselines } = trainingMetrics(head);
  if (!baselines || !('mostCommon' in baselines)) return null;
  const { label, accuracy, count: pictures, wins, losses } = baselines.mostCommon;
  if (accuracy === null || !(pictures > 0)) return null;
  // Where just one of the two is right is all that they differ in.
  const headAccuracy = accuracy + (wins - losses) / pictures;
  return { label, accuracy, headAccuracy, pictures, clearlyBetter: isClearlyBetter(baselines) };
}

async function readServed(name: string, path: string, { unknown }: HeadSettings): Promise<ServedHead> {
  const bytes = await readHeadFile(path);
  const head = readHead(bytes, path);
  return {
    name,
    path,
    id: `${name}@${sha256Of(bytes).slice(0, 12)}`,
    head: unknown === undefined || head.kind === 'multilabel' ? head : withUnknown(head, unknown, path),
    loaded: new Date().toISOString(),
  };
}

/** @throws {UsageError} as `Head.withUnknown` does; the message names the file */
function withUnknown(head: Head, rate: UnknownRate, path: string): Head {
  try {
    return head.withUnknown(rate);
  } catch (error) {
    throw new UsageError(`${path}: ${messageOf(error)}`);
  }
}
