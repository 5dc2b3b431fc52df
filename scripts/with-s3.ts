import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LastlayerError } from '../src/util/errors.js';
import { CephServer, hasCeph } from './s3/ceph-server.js';
import { run, script } from './support/script.js';

const BUCKET = 'lastlayer';

export const command = script(
  'with-s3',
  'Run a command beside an S3 server: the gateway of Ceph, over a cluster in memory. The command finds it by the AWS_… ' +
    "variables, and a bucket for tests in LASTLAYER_TEST_S3. Needs Debian's packages ceph-mon, ceph-osd and radosgw.",
  ['npm test -- object-store', `npm run queue-faults -- ~/photos --store-at s3://${BUCKET}/faults`],
)
  .argument('<command>', 'program to run')
  .argument('[args...]', 'its arguments')
  .passThroughOptions()
  .action(withS3);
await run(import.meta.url, command);

async function withS3(program: string, args: readonly string[]): Promise<void> {
  if (!hasCeph()) throw new LastlayerError('There is no Ceph here: apt-get install ceph-mon ceph-osd radosgw');
  const folder = await mkdtemp(join(tmpdir(), 'lastlayer-s3-'));
  // The program receives Ctrl-C, too, and must end before the server does.
  process.on('SIGINT', () => undefined);
  const server = await CephServer.start(folder);
  try {
    await server.createBucket(BUCKET);
    const env = { ...process.env, ...server.env, LASTLAYER_TEST_S3: `s3://${BUCKET}` };
    const child = spawn(program, args, { env, stdio: 'inherit' });
    process.on('SIGTERM', () => child.kill('SIGTERM'));
    const [code] = (await once(child, 'close')) as [number | null];
    process.exitCode = code ?? 1;
  } finally {
    await server.stop();
    await rm(folder, { recursive: true });
  }
}
