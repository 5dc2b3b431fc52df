import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasRedis, RedisServer } from '../../../scripts/queue/redis-server.js';
import { storedIn } from '../../../scripts/queue/stored.js';
import { WorkerProcess } from '../../../scripts/queue/worker-process.js';
import { loadBackbone } from '../../../src/backbone/load.js';
import { embedDataset } from '../../../src/embed/embed.js';
import { embedThroughQueue } from '../../../src/embed/queue/producer.js';
import { stripedDataset, temporaryFolder } from '../../support/files.js';
import { commitGate, describeWithS3, listen, newStoreOnS3 } from '../../support/object-store.js';
import { smallNetwork } from '../../support/small-network.js';

const folder = await temporaryFolder();
const COUNT = 80;

// Of the server it has to be known where it is, to stand before it.
const endpoint = process.env.AWS_ENDPOINT;
const describeWithBoth = hasRedis() && endpoint !== undefined ? describeWithS3 : describe.skip;

describeWithBoth('workers that write to an object store (redis-server, LASTLAYER_TEST_S3, AWS_ENDPOINT)', () => {
  it('give each picture one row, though they are killed while they commit', async () => {
    const [model, data, local] = ['small.onnx', 'data', 'local'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    await writeFile(model, smallNetwork());
    await stripedDataset(data, { train: { flat: COUNT / 2, steep: COUNT / 2 } });
    const backbone = await loadBackbone({ model });
    await embedDataset(data, { backbone, store: local });

    const redis = await RedisServer.start(folder);
    const workers: WorkerProcess[] = [];
    let commits = 0;
    const gate = commitGate(endpoint ?? '', async (make) => {
      commits++;
      // The third commit is lost with its worker; the sixth is made, and its worker never knows.
      if (commits === 3) return replaceWorker();
      await make();
      return commits === 6 ? replaceWorker() : undefined;
    });
    const env = { AWS_ENDPOINT: await listen(gate) };
    const flags = ['--model', model, '--threads', '1', '--stalled-after', '1'];
    const addWorker = async () => workers.push(await WorkerProcess.start(redis.url, flags, { env }));
    const replaceWorker = async () => {
      await workers.pop()?.end('SIGKILL');
      // Two of them finish it together.
      void Promise.all(commits === 6 ? [addWorker(), addWorker()] : [addWorker()]);
    };
    try {
      await addWorker();
      const store = newStoreOnS3();
      const options = { backbone, store, queue: redis.url, jobSize: 4 };
      expect(await embedThroughQueue(data, options)).toMatchObject({ total: COUNT, failed: 0 });
      expect(commits).toBeGreaterThan(6);
      expect(await storedIn(store)).toEqual({ ...(await storedIn(local)), rows: COUNT, paths: COUNT });
    } finally {
      await Promise.all(workers.map((worker) => worker.end('SIGKILL')));
      gate.close();
      await redis.stop();
    }
  });
});
