import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ThumbnailCache } from '../../src/label/thumbnails.js';
import { stripes, temporaryFolder } from '../support/files.js';

const folder = await temporaryFolder();

async function bytesIn(path: string): Promise<number> {
  const names = (await readdir(path, { recursive: true })).filter((name) => name.endsWith('.webp'));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(path, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

test('thumbnails that are asked for at the same time are made once, and old ones make room', async () => {
  const most = 20_000;
  const cache = new ThumbnailCache(folder, most);
  let read = 0;
  const thumbnail = (digest: string, seed: number) =>
    cache.get(digest, () => {
      read++;
      return stripes(0, seed, 300, 200);
    });
  const [one, other] = await Promise.all([thumbnail('aa1', 1), thumbnail('aa1', 1)]);
  expect(one).toEqual(other);
  expect(read).toBe(1);
  for (let seed = 2; seed < 20; seed++) await thumbnail(`bb${seed}`, seed);
  await cache.close();
  expect(19 * one.length).toBeGreaterThan(most);
  expect(await bytesIn(folder)).toBeLessThanOrEqual(most + one.length);
  expect(await bytesIn(folder)).toBeGreaterThan(0);
});

test('a picture that cannot be decoded fails each time, and leaves nothing', async () => {
  const cache = new ThumbnailCache(join(folder, 'none'));
  for (let i = 0; i < 2; i++) {
    await expect(cache.get('cc', () => Promise.resolve(Uint8Array.of(1, 2, 3)))).rejects.toThrow();
  }
  await cache.close();
  await expect(readdir(join(folder, 'none'))).rejects.toThrow();
});

test('closing does not wait for what nobody has begun', async () => {
  const cache = new ThumbnailCache(join(folder, 'closed'));
  let go: (() => void) | undefined;
  const slow = new Promise<void>((resolve) => (go = resolve));
  const asked = Array.from({ length: 200 }, (_, i) =>
    cache.get(`dd${i}`, async () => {
      await slow;
      return stripes(0, 1, 30, 20);
    }),
  );
  const settled = Promise.allSettled(asked);
  // Until all of them have looked for a file.
  await new Promise((resolve) => setTimeout(resolve, 200));
  const closed = cache.close();
  go?.();
  await closed;
  const results = (await settled).map(({ status }) => status);
  expect(results).toContain('fulfilled');
  expect(results).toContain('rejected');
});
