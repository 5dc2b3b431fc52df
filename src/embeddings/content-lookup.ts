import type { EmbeddingRow } from './row.js';

/**
 * Looks rows up by the digest of their picture. Digests that are asked for while a query runs go into the next one
 * together, since a query for a hundred takes little longer than one for a single digest.
 */
export class ContentLookup {
  private waiting: string[] = [];
  private next: Promise<Map<string, EmbeddingRow[]>> | undefined;
  private running: Promise<unknown> = Promise.resolve();

  constructor(private readonly find: (digests: readonly string[]) => Promise<EmbeddingRow[]>) {}

  async get(sha256: string): Promise<EmbeddingRow[]> {
    this.waiting.push(sha256);
    this.next ??= this.runNext(this.running);
    return (await this.next).get(sha256) ?? [];
  }

  private async runNext(earlier: Promise<unknown>): Promise<Map<string, EmbeddingRow[]>> {
    // Whoever asked for it learns of an earlier query's failure.
    await earlier.catch(() => undefined);
    const digests = this.waiting;
    this.waiting = [];
    this.next = undefined;
    const found = this.find(digests);
    this.running = found;
    const rows = new Map<string, EmbeddingRow[]>();
    for (const row of await found) {
      const ofPicture = rows.get(row.sha256 ?? '');
      if (ofPicture) ofPicture.push(row);
      else rows.set(row.sha256 ?? '', [row]);
    }
    return rows;
  }
}
