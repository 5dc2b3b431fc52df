import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { openDataset } from '../../src/data/open.js';
import { readEmbeddings } from '../../src/embed/read-embeddings.js';
import { ROOT, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const EXAMPLES = join(ROOT, 'test', 'fixtures', 'examples');
const model = join(await temporaryFolder(), 'small.onnx');
await writeFile(model, smallNetwork());

test('rows come in the order of the pictures, whichever thread is done first', async () => {
  const backbone = await loadBackbone({ model });
  const listed: string[] = [];
  for await (const { path } of (await openDataset(EXAMPLES)).entries()) listed.push(path);
  for (let round = 0; round < 3; round++) {
    const paths: string[] = [];
    await readEmbeddings(EXAMPLES, { backbone, batchSize: 2, onRow: ({ path }) => paths.push(path) });
    expect(paths).toEqual(listed);
  }
});
