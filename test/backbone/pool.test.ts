import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Backbone } from '../../src/backbone/backbone.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { BackbonePool } from '../../src/backbone/pool.js';
import { temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const folder = await temporaryFolder();
const model = join(folder, 'small.onnx');
await writeFile(model, smallNetwork());

/** A batch of so many pictures, which `seed` tells apart. */
function pictures(count: number, seed: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: count * 3 * 224 * 224 }, (_, i) => (i * seed) % 251);
}

async function withPool(backbone: Backbone, use: (pool: BackbonePool) => Promise<void>): Promise<void> {
  const pool = new BackbonePool(backbone);
  try {
    await use(pool);
  } finally {
    await pool.close();
  }
}

describe('a pool of threads', () => {
  it('gives each batch the embeddings that the backbone itself gives it', async () => {
    const backbone = await loadBackbone({ model, threads: 2 });
    await withPool(backbone, async (pool) => {
      expect(pool.size).toBe(2);
      const batches = [1, 2, 3, 4, 5].map((seed) => () => pictures(seed, 10 + seed));
      const found = await Promise.all(batches.map((batch) => pool.run(batch())));
      for (const [i, batch] of batches.entries()) {
        const { embedding } = await backbone.run(batch());
        expect(found[i]).toEqual(embedding);
      }
    });
  });

  it('takes batches of a higher priority first, and others in their order', async () => {
    const backbone = await loadBackbone({ model, threads: 1 });
    await withPool(backbone, async (pool) => {
      const order: string[] = [];
      const priorities = { begun: undefined, second: -1, third: -1, first: 0 };
      const runs = Object.entries(priorities).map(([name, priority]) =>
        pool.run(pictures(1, 3), priority).then(() => order.push(name)),
      );
      await Promise.all(runs);
      expect(order).toEqual(['begun', 'first', 'second', 'third']);
    });
  });

  it('leaves the event loop free, which the backbone itself blocks', async () => {
    // A batch takes long enough for a free event loop to turn thousands of times.
    const backbone = await loadBackbone({ threads: 1 });
    const isUnderWayAfterTurns = async (work: Promise<unknown>) => {
      let isUnderWay = true;
      void work.finally(() => (isUnderWay = false));
      for (let turn = 0; turn < 10; turn++) await nextTurn();
      const found = isUnderWay;
      await work;
      return found;
    };
    expect(await isUnderWayAfterTurns(backbone.run(pictures(16, 3)))).toBe(false);
    await withPool(backbone, async (pool) => {
      expect(await isUnderWayAfterTurns(pool.run(pictures(16, 3)))).toBe(true);
    });
  });

  it('refuses what is no batch, and goes on', async () => {
    const backbone = await loadBackbone({ model });
    await withPool(backbone, async (pool) => {
      await expect(pool.run(new Uint8Array(100))).rejects.toThrow(/3 × 224 × 224 values is expected; 100/);
      expect(await pool.run(pictures(1, 3))).toHaveLength(8);
    });
  });

  it('can be used again after it was closed', async () => {
    const pool = new BackbonePool(await loadBackbone({ model }));
    for (let i = 0; i < 2; i++) {
      expect(await pool.run(pictures(1, 3))).toHaveLength(8);
      await pool.close();
    }
  });
});
