/**
 * Runs a command beside an S3 server of its own: Ceph's gateway over a cluster in memory, of Debian's packages ceph-mon, ceph-osd and
 * radosgw. The command finds it by the AWS_… variables, and a bucket for tests in LASTLAYER_TEST_S3.
 *
 *     npm run with-s3 -- npm test -- test/queue/object-store
 *     npm run with-s3 -- npm run queue-faults -- ~/photos --store-at s3://lastlayer/faults
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CephServer, hasCeph } from './s3/ceph-server.js';

const BUCKET = 'lastlayer';

const [command = '', ...args] = process.argv.slice(2);
if (command === '') throw new Error('Name a command to run beside the server.');
if (!hasCeph()) throw new Error('There is no Ceph here: apt-get install ceph-mon ceph-osd radosgw');
const folder = await mkdtemp(join(tmpdir(), 'lastlayer-s3-'));
// The command is told of Ctrl-C, too, and has to end first.
process.on('SIGINT', () => undefined);
const server = await CephServer.start(folder);
try {
  await server.createBucket(BUCKET);
  const env = { ...process.env, ...server.env, LASTLAYER_TEST_S3: `s3://${BUCKET}` };
  const child = spawn(command, args, { env, stdio: 'inherit' });
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  const [code] = (await once(child, 'close')) as [number | null];
  process.exitCode = code ?? 1;
} finally {
  await server.stop();
  await rm(folder, { recursive: true });
}
