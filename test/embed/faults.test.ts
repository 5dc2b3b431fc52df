import { chmod, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from '@lancedb/lancedb';
import { loadBackbone } from '../../src/backbone/load.js';
import { embedDataset, type EmbedOptions } from '../../src/embed/embed.js';
import { arrow } from '../../src/util/lancedb.js';
import { EmbeddingStore } from '../../src/store/store.js';
import { MODEL_ID, TRANSFORM_ID, writeStore } from '../support/embeddings.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';
import { storedRows } from '../support/store.js';

const folder = await temporaryFolder();
const model = join(folder, 'small.onnx');
await writeFile(model, smallNetwork());
const backbone = await loadBackbone({ model });
const data = join(folder, 'data');
await stripedDataset(data, { train: { flat: 3, steep: 3 } });

const embed = (store: string, options: Partial<EmbedOptions> = {}) =>
  embedDataset(data, { backbone, store, ...options });

describe('a process that was killed while it made a table', () => {
  // What was on the disk then: a folder with the transaction and, as yet, no version.
  async function leaveHalfATable(store: string, name: string): Promise<void> {
    const table = join(store, `${name}.lance`);
    await rm(table, { recursive: true, force: true });
    await mkdir(join(table, '_transactions'), { recursive: true });
    await mkdir(join(table, '_versions'));
    await writeFile(join(table, '_transactions', '0-e8dcfb12-5837-48db-8e38-be4cd1004da7.txn'), '');
  }

  it('leaves a store that can be embedded into', async () => {
    const whole = join(folder, 'whole');
    await embed(whole);
    const expected = await storedRows(whole);
    const names = (await readdir(whole)).filter((name) => name.endsWith('.lance'));
    expect(names).toHaveLength(2);
    for (const name of names.map((file) => file.replace(/\.lance$/, ''))) {
      const store = join(folder, `half-${name}`);
      await embed(store);
      await leaveHalfATable(store, name);
      expect(await embed(store)).toMatchObject({ total: 6, failed: 0 });
      expect(await storedRows(store)).toEqual(expected);
    }
  });

  it('leaves a store that can be read', async () => {
    const store = join(folder, 'half');
    await leaveHalfATable(store, 'datasets');
    const opened = await EmbeddingStore.open(store, { create: false });
    expect(await opened.datasets()).toEqual([]);
    expect(await opened.existingTable(MODEL_ID, TRANSFORM_ID, 8)).toBeUndefined();
    opened.close();
  });
});

describe('several writers of one store', () => {
  it('leave one row for each picture', async () => {
    const rows = Array.from({ length: 40 }, (_, i) => ({
      path: `/data/${i}.jpg`,
      embedding: new Float32Array(8),
    }));
    for (let round = 0; round < 5; round++) {
      const store = join(folder, `shared-${round}`);
      await writeStore(store, [], 8);
      await Promise.all([writeStore(store, rows, 8), writeStore(store, rows, 8), writeStore(store, rows, 8)]);
      expect(await storedRows(store)).toHaveLength(40);
    }
  });
});

describe('a store of another format', () => {
  it.each(['datasets', 'rows'])('is refused by its table of %s', async (which) => {
    const store = join(folder, `format-${which}`);
    await embed(store);
    const database = await connect(store);
    const [name = ''] = (await database.tableNames()).filter(
      (table) => (table === 'datasets') === (which === 'datasets'),
    );
    const { schema } = await (await database.openTable(name)).toArrow();
    await database.dropTable(name);
    await database.createEmptyTable(name, new arrow.Schema(schema.fields));
    database.close();
    const message = /The store .*format-.* was written by another version of lastlayer/;
    await expect(embed(store)).rejects.toThrow(message);
    await expect(storedRows(store)).rejects.toThrow(message);
  });
});

describe('a store that is moved away while it is written to', () => {
  it('is told of by its name, without the inside of the database', async () => {
    const store = join(folder, 'moved');
    let moved: Promise<void> | undefined;
    const embedded = embed(store, {
      batchSize: 1,
      concurrency: 1,
      onProgress: ({ phase }) => {
        if (phase === 'embed') moved ??= rename(store, `${store}-away`);
      },
    });
    const message = await embedded.then(
      () => 'nothing was told',
      (error: unknown) => String(error),
    );
    await moved;
    expect(message).toMatch(/^LastlayerError: The store .*moved cannot be read or written: /);
    expect(message).not.toMatch(/\.rs:|Caused by/);
  });
});

(process.getuid?.() === 0 ? describe.skip : describe)('a store that may not be written to', () => {
  it('is told of', async () => {
    const store = join(folder, 'read-only');
    await mkdir(store);
    await chmod(store, 0o555);
    await expect(embed(store)).rejects.toThrow(/The store .*read-only cannot be read or written: .*ermission/);
  });
});
