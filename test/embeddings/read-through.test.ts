import { fileURLToPath } from 'node:url';
import { loadBackbone } from '../../src/backbone/load.js';
import { openDataset } from '../../src/data/open.js';
import { readEmbeddings } from '../../src/embed/read-embeddings.js';

const EXAMPLES = fileURLToPath(new URL('../fixtures/examples', import.meta.url));

test('rows come in the order of the pictures, whichever thread is done first', async () => {
  const backbone = await loadBackbone({ modelsDir: 'there-is-no-such-folder' });
  const listed: string[] = [];
  for await (const { path } of (await openDataset(EXAMPLES)).entries()) listed.push(path);
  for (let round = 0; round < 3; round++) {
    const paths: string[] = [];
    await readEmbeddings(EXAMPLES, { backbone, batchSize: 2, onRow: ({ path }) => paths.push(path) });
    expect(paths).toEqual(listed);
  }
});
