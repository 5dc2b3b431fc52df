import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Where tests may write on an S3 server, such as s3://bucket; the server is named by the AWS_… variables. */
const GIVEN = process.env.LASTLAYER_TEST_S3;

/** Runs tests with an S3 server where one is named, and shows them as skipped where none is. docs/scale.md says how to start one. */
export const describeWithS3 = GIVEN === undefined ? describe.skip : describe;

/** The address of a store that is not there yet. */
export function newStoreOnS3(): string {
  return `${GIVEN ?? 's3://none'}/${randomUUID()}`;
}

/** Listens on a free port; its address. */
export async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/**
 * An S3 server that hands on what it is asked to another one, and has each commit made by `around`, which may do something before or
 * after it, or lose it. LanceDB commits by putting a manifest where there must be none yet.
 */
export function commitGate(endpoint: string, around: (make: () => Promise<void>) => Promise<void>): Server {
  const { hostname, port } = new URL(endpoint);
  const handOn = async (asked: IncomingMessage): Promise<IncomingMessage> => {
    const { method, url: path, headers } = asked;
    // The host, too, stays as it is, as it is signed.
    const handed = asked.pipe(request({ hostname, port, method, path, headers }));
    const [reply] = (await once(handed, 'response')) as [IncomingMessage];
    return reply;
  };
  const answer = async (asked: IncomingMessage, response: ServerResponse): Promise<void> => {
    let reply: IncomingMessage | undefined;
    const make = async () => {
      reply = await handOn(asked);
    };
    const isCommit = asked.method === 'PUT' && asked.headers['if-none-match'] === '*';
    await (isCommit ? around(make) : make());
    if (!reply) return void asked.destroy();
    response.writeHead(reply.statusCode ?? 500, reply.headers);
    reply.pipe(response);
  };
  return createServer((asked, response) => {
    answer(asked, response).catch(() => asked.destroy());
  });
}
