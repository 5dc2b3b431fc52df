import { thumbnailOf } from '../images/index.js';

/** The longer side, in pixels. */
const SIDE = 240;
const QUALITY = 70;

/** Thumbnails that are kept, about 8 KB each. */
const KEPT = 500;

/** Thumbnails of pictures, made when they are first asked for. */
export class Thumbnails {
  private readonly made = new Map<string, Promise<Buffer | undefined>>();

  /** @param pathOf finds a picture's file by its id; undefined where there is none */
  constructor(private readonly pathOf: (id: string) => Promise<string | undefined>) {}

  /** @returns WebP; undefined where there is no such picture, or it cannot be read any more */
  get(id: string): Promise<Buffer | undefined> {
    const thumbnail = this.made.get(id) ?? this.make(id);
    // The last used is the last in order, and the first in order is the first to go.
    this.made.delete(id);
    this.made.set(id, thumbnail);
    const [oldest] = this.made.keys();
    if (this.made.size > KEPT && oldest !== undefined) this.made.delete(oldest);
    return thumbnail;
  }

  private async make(id: string): Promise<Buffer | undefined> {
    const path = await this.pathOf(id);
    if (path === undefined) return undefined;
    return thumbnailOf(path, SIDE, QUALITY).catch(() => undefined);
  }
}
