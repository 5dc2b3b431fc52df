import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { trainFromStore } from '../../src/classify/train.js';
import { embedDataset } from '../../src/embed/embed.js';
import { describeWith, temporaryFolder } from '../support/files.js';
import { storedRows } from '../support/store.js';
import { ofClasses } from '../support/softmax.js';

const folder = await temporaryFolder();
const backbone = await loadBackbone({ modelsDir: join(folder, 'models') });

describeWith('data/hymenoptera', 'photographs', (dataset) => {
  it('go from folder to head, and are not embedded again', async () => {
    const store = join(folder, 'hymenoptera');
    const labels = { ants: 194, bees: 204 };
    expect(await embedDataset(dataset, { backbone, store })).toMatchObject({ total: 398, failed: 0, labels });
    const rows = await storedRows(store);
    expect(rows).toHaveLength(398);
    for (const { path, sha256 } of rows) {
      expect(sha256).toBe(createHash('sha256').update(readFileSync(path)).digest('hex'));
    }
    expect(await embedDataset(dataset, { backbone, store })).toMatchObject({ unchanged: 398, embedded: 0 });

    const { head, validation } = ofClasses(await trainFromStore({ store }));
    expect(head.labels).toEqual(['ants', 'bees']);
    expect(head.counts.train).toEqual([124, 121]);
    expect(validation?.count).toBe(153);
    expect(validation?.accuracy).toBeGreaterThan(0.55);
  });
});

const UNREADABLE = {
  '65536-uint32-limit.png': /more pixels than the 268 million/,
  'corrupt-header.jpg': /corrupt header/,
  'empty.jpg': /empty/i,
  'text.jpg': /no picture, or of a kind/,
  'truncated.jpg': /premature end/,
  'truncated.png': /libpng read error/,
};

describeWith('data/odd-inputs', 'odd files', (dataset) => {
  it('are embedded where they can be read, and named with the reason where not', async () => {
    const store = join(folder, 'odd');
    const files = readdirSync(dataset);
    const { total, failed } = await embedDataset(dataset, { backbone, store });
    expect(total).toBe(files.length);
    const rows = await storedRows(store);
    expect(rows.map(({ path }) => basename(path)).sort()).toEqual(files.sort());
    const unreadable = rows.filter(({ error }) => error !== null);
    expect(unreadable).toHaveLength(failed);
    for (const [file, reason] of Object.entries(UNREADABLE)) {
      expect(unreadable.find(({ path }) => basename(path) === file)?.error).toMatch(reason);
    }
    expect(unreadable).toHaveLength(Object.keys(UNREADABLE).length);
    for (const { embedding, error } of rows) {
      if (error === null) expect(embedding?.every(Number.isFinite)).toBe(true);
      else expect(embedding).toBeNull();
    }
  });
});
