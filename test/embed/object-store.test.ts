import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { storedIn } from '../../scripts/queue/stored.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { embedDataset } from '../../src/embed/embed.js';
import { lastlayerProcess } from '../support/command-line.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { describeWithS3, listen, newStoreOnS3 } from '../support/object-store.js';
import { smallNetwork } from '../support/small-network.js';

const folder = await temporaryFolder();

describe('an object store that cannot be used', () => {
  const STORE = 's3://photographs/embeddings';
  const ENV = {
    AWS_ACCESS_KEY_ID: 'key',
    AWS_SECRET_ACCESS_KEY: 'secret',
    AWS_REGION: 'us-east-1',
    AWS_ALLOW_HTTP: 'true',
    OBJECT_STORE_CLIENT_MAX_RETRIES: '0',
  };

  async function complaint(env: NodeJS.ProcessEnv): Promise<string> {
    const { outcome } = lastlayerProcess(['check-data', '--store', STORE], folder, { ...ENV, ...env });
    const { code, stdout, stderr } = await outcome;
    expect([code, stdout]).toEqual([1, '']);
    return stderr;
  }

  /** What is said of a server that answers everything like that. */
  async function complaintOf(status: number, code: string, message = ''): Promise<string> {
    const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;
    const server = createServer((_, response) => response.writeHead(status).end(body));
    try {
      return await complaint({ AWS_ENDPOINT: await listen(server) });
    } finally {
      server.close();
    }
  }

  const said = (reason: string) =>
    `Error: The store ${STORE} cannot be read or written: ${reason}. Once that is put right, the same command goes on from what is there.\n`;

  it('is named, with what its server says and what to do', async () => {
    const [bucket, key, other] = await Promise.all([
      complaintOf(404, 'NoSuchBucket'),
      complaintOf(403, 'SignatureDoesNotMatch'),
      complaintOf(400, 'TooTired', 'Ask tomorrow.'),
    ]);
    expect(bucket).toBe(said('there is no such bucket; make it, or name another one (NoSuchBucket)'));
    expect(key).toBe(
      said(
        'access is denied; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key that may read and write there (SignatureDoesNotMatch)',
      ),
    );
    expect(other).toBe(said('Ask tomorrow (TooTired)'));
  });

  it('is named where its server does not answer, or by http that was not asked for', async () => {
    const AWS_ENDPOINT = 'http://127.0.0.1:1';
    const [gone, insecure] = await Promise.all([
      complaint({ AWS_ENDPOINT }),
      complaint({ AWS_ENDPOINT, AWS_ALLOW_HTTP: undefined }),
    ]);
    expect(gone).toBe(said(`${AWS_ENDPOINT} does not answer: Connection refused (os error 111)`));
    expect(insecure).toBe(said('its address is not https; set AWS_ALLOW_HTTP=true if that is meant'));
  });
});

describeWithS3('an object store (LASTLAYER_TEST_S3)', () => {
  const [model, data, local] = ['small.onnx', 'data', 'local'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];

  it('has one row a picture after two processes wrote at once, and is read as a local one is', async () => {
    await writeFile(model, smallNetwork());
    await stripedDataset(data, { train: { flat: 20, steep: 20 }, val: { flat: 10, steep: 10 } });
    await embedDataset(data, { backbone: await loadBackbone({ model }), store: local });
    const onS3 = newStoreOnS3();
    const run = async (store: string, ...args: string[]) => {
      const { code, stdout, stderr } = await lastlayerProcess([...args, '--store', store, '--json'], folder).outcome;
      if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${stderr}`);
      return JSON.parse(stdout) as Record<string, unknown>;
    };
    const embed = () => run(onS3, 'embed', data, '--model', model, '--batch-size', '1', '--threads', '1');
    const search = (store: string) => run(store, 'search', join(data, 'val', 'flat', '0.png'), '--model', model);
    const both = await Promise.all([embed(), embed()]);
    expect(both).toMatchObject([{ total: 60 }, { total: 60 }]);
    expect(await storedIn(onS3)).toEqual({ ...(await storedIn(local)), rows: 60, paths: 60 });
    expect(await embed()).toMatchObject({ total: 60, unchanged: 60 });
    const [trained, found, expected] = await Promise.all([run(onS3, 'train-head'), search(onS3), search(local)]);
    expect(trained).toMatchObject({ validation: { count: 20 } });
    expect(found).toEqual(expected);
  });
});
