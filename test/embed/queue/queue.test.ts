import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Fault, FaultyCluster } from '../../../scripts/queue/faults.js';
import { hasRedis, RedisServer } from '../../../scripts/queue/redis-server.js';
import { storedIn } from '../../../scripts/queue/stored.js';
import { WorkerProcess } from '../../../scripts/queue/worker-process.js';
import { loadBackbone } from '../../../src/backbone/load.js';
import { embedDataset, type EmbedProgress } from '../../../src/embed/embed.js';
import { embedThroughQueue, type QueueOptions } from '../../../src/embed/queue/producer.js';
import { work } from '../../../src/embed/queue/worker.js';
import { UsageError } from '../../../src/util/errors.js';
import { lastlayerProcess } from '../../support/command-line.js';
import { stripedDataset, temporaryFolder } from '../../support/files.js';
import { smallNetwork } from '../../support/small-network.js';
import { storedRows } from '../../support/store.js';

const folder = await temporaryFolder();
const [model, other, data, whole] = ['small.onnx', 'other.onnx', 'data', 'whole'].map((name) => join(folder, name)) as [
  string,
  string,
  string,
  string,
];
await writeFile(model, smallNetwork());
await writeFile(other, smallNetwork(2));
await stripedDataset(data, { train: { flat: 80, steep: 80 }, val: { flat: 20, steep: 20 } });
await writeFile(join(data, 'val', 'flat', 'torn.jpg'), 'no picture');
const COUNT = 201;
const backbone = await loadBackbone({ model });
await embedDataset(data, { backbone, store: whole });

/** Seconds after which a job of a worker that gives no sign of life goes to another. */
const STALLED_AFTER = 1;
const FLAGS = ['--model', model, '--threads', '1', '--stalled-after', String(STALLED_AFTER)];

const describeWithRedis = hasRedis() ? describe : describe.skip;

describeWithRedis('embedding through a queue (redis-server)', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await RedisServer.start(folder);
  });
  afterAll(() => redis.stop());

  function embed(store: string, options: Partial<QueueOptions> = {}) {
    return embedThroughQueue(data, { ...{ backbone, store, queue: redis.url, jobSize: 4 }, ...options });
  }

  it('gives each picture one row, the same as one machine does, whatever goes wrong', async () => {
    const store = join(folder, 'faulty');
    const cluster = new FaultyCluster(redis, FLAGS, STALLED_AFTER * 1000, 1);
    try {
      await cluster.start(4);
      // When so many pictures are done, this happens.
      const plan: [number, Fault][] = [
        [20, 'kill'],
        [60, 'pause'],
        [100, 'crash'],
        [140, 'kill'],
      ];
      const faults: Promise<void>[] = [];
      const summary = await embed(store, {
        onProgress: ({ done }: EmbedProgress) => {
          const [next] = plan;
          if (!next || done < next[0]) return;
          plan.shift();
          faults.push(cluster.suffer(next[1]));
        },
      });
      await Promise.all(faults);
      expect(cluster.counts).toEqual({ kill: 2, pause: 1, crash: 1 });
      expect(summary).toMatchObject({ total: COUNT, failed: 1 });
      const { embedded, reused, unchanged, failed } = summary;
      expect(embedded + reused + unchanged + failed).toBe(COUNT);
      expect(await cluster.stop()).toEqual([0, 0, 0, 0]);
      expect(await storedIn(store)).toEqual({ ...(await storedIn(whole)), rows: COUNT, paths: COUNT });
    } finally {
      await cluster.stop();
    }
  });

  it('is broken off and goes on, drains on SIGTERM, and leaves jobs of another model alone', async () => {
    const store = join(folder, 'broken-off');
    const command = ['embed', data, '--model', model, '--store', store, '--queue', redis.url, '--json'];
    const worker = await WorkerProcess.start(redis.url, FLAGS);
    const stranger = await WorkerProcess.start(redis.url, ['--model', other, '--threads', '1']);
    try {
      const controller = new AbortController();
      const stopped = embed(store, {
        signal: controller.signal,
        onProgress: ({ done }) => {
          if (done >= 40) controller.abort(new Error('enough'));
        },
      });
      await expect(stopped).rejects.toThrow('enough');
      const { code, stdout } = await lastlayerProcess(command, folder).outcome;
      expect(code).toBe(3);
      const summary = JSON.parse(stdout) as EmbedProgress & { errors: { path: string }[] };
      expect(summary).toMatchObject({
        total: COUNT,
        failed: 1,
        errors: [{ path: join(data, 'val', 'flat', 'torn.jpg') }],
      });
      expect(summary.unchanged).toBeGreaterThanOrEqual(39);
      expect(summary.unchanged + summary.embedded).toBe(COUNT - 1);
      expect(await storedIn(store)).toEqual(await storedIn(whole));
      expect(stranger.log).toMatch(/left to other workers: they are of network@.* and this worker has network@/);
      expect(await worker.end('SIGTERM')).toBe(0);
      expect(worker.log).toContain('Stopping after the jobs in progress');
    } finally {
      await worker.end('SIGKILL');
      await stranger.end('SIGKILL');
    }
  });

  it('finds the picture that ends workers, which gets a row that says so, and embeds the others', async () => {
    const store = join(folder, 'culprit');
    const manifest = join(folder, 'culprit.csv');
    const picture = await readFile(join(data, 'val', 'flat', '0.png'));
    let worker = await WorkerProcess.start(redis.url, FLAGS);
    let deaths = 0;
    const server = createServer((request, response) => {
      // As a picture does that no decoder survives: until it is not decoded any more.
      if (request.url !== '/bad.png' || deaths === 4) return response.end(picture);
      deaths++;
      void worker.end('SIGKILL').then(async () => (worker = await WorkerProcess.start(redis.url, FLAGS)));
      return undefined;
    });
    try {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      await writeFile(manifest, `path\n${origin}/good.png\n${origin}/bad.png\n`);
      const options = { backbone, store, queue: redis.url, jobSize: 2 };
      expect(await embedThroughQueue(manifest, options)).toMatchObject({ total: 2, embedded: 1, failed: 1 });
      expect(deaths).toBe(4);
      const [bad, good] = await storedRows(store);
      expect([bad?.path, bad?.error]).toEqual([`${origin}/bad.png`, expect.stringMatching(/^it crashed two workers/)]);
      expect(good?.error).toBeNull();
    } finally {
      server.close();
      await worker.end('SIGTERM');
    }
  });
});

describe('a queue that is not there', () => {
  const signal = new AbortController().signal;

  it('is named, with what to do', async () => {
    const queue = 'redis://user:secret@127.0.0.1:1';
    const reason = /^There is no Redis at redis:\/\/…@127\.0\.0\.1:1: .*ECONNREFUSED.*redis-server/;
    await expect(embedThroughQueue(data, { backbone, queue })).rejects.toThrow(reason);
    await expect(work({ backbone, queue, signal })).rejects.toThrow(reason);
  });

  it('is no address', async () => {
    await expect(work({ backbone, queue: 'localhost', signal })).rejects.toThrow(UsageError);
  });
});
