import { spawnSync } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Backbone } from '../../src/backbone/backbone.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { BackbonePool } from '../../src/backbone/pool.js';
import { decodeSquares, decodeViews, joinPixels } from '../../src/image/decode.js';
import { fingerprintOf } from '../../src/image/fingerprint.js';
import { ROOT, temporaryFolder } from '../support/files.js';
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

  it('enlarges pictures, mirrors them and takes their fingerprints as this thread does', async () => {
    const backbone = await loadBackbone({ model });
    const { transform } = backbone;
    const drawn = (width: number, height: number) => ({
      data: Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * i) % 251),
      ...{ width, height, channels: 3 as const },
    });
    const views = ['center', 'flip', 'top-left-flip'] as const;
    const sources = [drawn(90, 70), drawn(400, 300), drawn(30, 256)];
    const squares = (await Promise.all(sources.map((source) => decodeSquares(source, transform, views)))).flat();
    const images = (await Promise.all(sources.map((source) => decodeViews(source, transform, views)))).flat();
    await withPool(backbone, async (pool) => {
      const { embedding, fingerprints } = await pool.embed(squares.map(({ square }) => square));
      expect(embedding).toEqual((await backbone.run(joinPixels(images))).embedding);
      expect(fingerprints).toEqual(images.map(({ pixels }) => fingerprintOf(pixels)));
    });
    expect(squares.filter(({ square }) => square instanceof Uint8Array)).toHaveLength(3);
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
      await expect(pool.embed([pictures(2, 3)])).rejects.toThrow(/224 × 224 pixels are expected.* 301056 were given/);
      const small = { width: 9, height: 8, size: { width: 288, height: 256 }, offset: { left: 32, top: 16 } };
      await expect(pool.embed([{ pixels: new Uint8Array(215), ...small, mirrored: false }])).rejects.toThrow(
        '9 × 8 pixels are expected, which are 216; 215 were given',
      );
      const once = pictures(1, 3);
      const [first, second] = [pool.run(once), pool.run(once)];
      await expect(second).rejects.toThrow('went to a thread before');
      expect(await first).toHaveLength(8);
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

  it('tries anew after it could not be prepared', async () => {
    const backbone = await loadBackbone({ model, threads: 2 });
    await withPool(backbone, async (pool) => {
      let isShort = true;
      backbone.needsWidening = () => (isShort ? Promise.reject(new Error('no memory')) : Promise.resolve(false));
      await expect(Promise.all([pool.run(pictures(1, 3)), pool.run(pictures(1, 3))])).rejects.toThrow('no memory');
      isShort = false;
      expect(await Promise.all([pool.run(pictures(1, 3)), pool.run(pictures(1, 3))])).toHaveLength(2);
    });
  });

  it('leaves one listener for the end of the process, however many there are, and no folder after that', async () => {
    const program = `
      import { readdirSync } from 'node:fs';
      import { loadBackbone } from ${JSON.stringify(join(ROOT, 'src', 'backbone', 'load.ts'))};
      import { BackbonePool } from ${JSON.stringify(join(ROOT, 'src', 'backbone', 'pool.ts'))};
      const backbone = await loadBackbone({ model: ${JSON.stringify(model)}, threads: 2 });
      const pools = Array.from({ length: 12 }, () => new BackbonePool(backbone));
      for (const pool of pools) await pool.warmUp();
      console.log(readdirSync(process.env.TMPDIR).filter((name) => name.startsWith('lastlayer-backbone-')).length);
      process.exit();`;
    const file = join(folder, 'pools.mts');
    await writeFile(file, program);
    const temporary = join(folder, 'temporary');
    await mkdir(temporary);
    const { stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', file], {
      cwd: ROOT,
      env: { ...process.env, NODE_OPTIONS: '', TMPDIR: temporary },
      encoding: 'utf8',
    });
    expect({ stdout, stderr }).toEqual({ stdout: '12\n', stderr: '' });
    expect((await readdir(temporary)).filter((name) => name.startsWith('lastlayer-backbone-'))).toEqual([]);
  });
});
