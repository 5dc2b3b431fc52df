import { Queue } from 'bullmq';
import { type JobData, jobId } from '../../src/embed/queue/job.js';
import type { RedisServer } from './redis-server.js';

const JOBS = 1000;

/** How much memory of Redis a waiting job takes, of pictures with paths of about 60 characters and a label. */
export async function bytesPerJob(redis: RedisServer, pictures: number): Promise<number> {
  const queue = new Queue<JobData>('bytes-per-job', { connection: { url: redis.url } });
  const before = await redis.memory();
  for (let job = 0; job < JOBS; job++) {
    const entries = Array.from({ length: pictures }, (_, i) => ({
      path: `/mnt/photographs/2024/collection-${String(job).padStart(6, '0')}/picture-${String(i).padStart(9, '0')}.jpg`,
      label: 'some class',
    }));
    const data = {
      entries,
      modelId: 'resnet18@0123456789ab',
      transformId: 'v1-resize256-crop224',
      suspect: false,
    };
    await queue.add('embed', data, { jobId: jobId(data) });
  }
  const bytes = ((await redis.memory()) - before) / JOBS;
  await queue.obliterate({ force: true });
  await queue.close();
  return Math.round(bytes);
}
