import type { Readable } from 'node:stream';
import multipart from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { messageOf } from '../util/errors.js';
import { HttpError } from './errors.js';
import type { IncomingBody, Limits } from './limits.js';

/** The most files of one form. */
const MAX_FILES = 64;

/** A picture as a client sent it. The names are only echoed in the answer. */
export interface Upload {
  bytes: Buffer;
  /** Of a file in a form: the field, and the file's name. */
  field?: string | undefined;
  filename?: string | undefined;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** null until the request is admitted. */
    incoming: IncomingBody | null;
  }
}

/**
 * Answers `Expect: 100-continue` only once a request is admitted, so a rejected client need not send its body
 * (RFC 9110, 10.1.1). curl asks this way before it sends a large file.
 */
export function deferContinue(app: FastifyInstance): void {
  app.server.on('checkContinue', (request, response) => {
    app.routing(request, response);
  });
  app.addHook('onSend', async (request, reply) => {
    // The client may send either the body or its next request now, and nothing tells them apart.
    if (expectsContinue(request) && !request.incoming) reply.header('Connection', 'close');
  });
}

function expectsContinue({ headers }: FastifyRequest): boolean {
  return headers.expect?.toLowerCase() === '100-continue';
}

/** Makes an app accept pictures as bodies and as files of forms, and nothing else. */
export async function acceptUploads(app: FastifyInstance, limits: Limits): Promise<void> {
  app.decorateRequest('incoming', null);
  // Before the body arrives, so that a rejected one is neither kept nor parsed.
  app.addHook('onRequest', (request, reply, done) => {
    const incoming = limits.receive();
    request.incoming = incoming;
    // Not in `onResponse`, which does not run if the client disconnects early.
    reply.raw.once('close', incoming.release);
    if (expectsContinue(request)) reply.raw.writeContinue();
    done();
  });
  app.removeAllContentTypeParsers();
  for (const type of [/^image\//, 'application/octet-stream']) {
    app.addContentTypeParser(type, async (request: FastifyRequest, payload: Readable) =>
      collect(payload, incomingOf(request)),
    );
  }
  await app.register(multipart, {
    limits: { files: MAX_FILES, fields: 16, fieldSize: 1000, fileSize: Infinity, parts: MAX_FILES + 16 },
  });
}

/**
 * The pictures of a request, in the order in which they were sent.
 * @throws {HttpError} if there are none, or they exceed a limit
 */
export async function uploadsOf(request: FastifyRequest): Promise<Upload[]> {
  const uploads = request.isMultipart() ? await filesOf(request) : [{ bytes: bodyOf(request) }];
  incomingOf(request).complete();
  if (uploads.length > 0) return uploads;
  throw new HttpError(400, 'no_picture', 'The form has no file. Send pictures as files: curl -F file=@a.jpg …');
}

async function filesOf(request: FastifyRequest): Promise<Upload[]> {
  const incoming = incomingOf(request);
  const uploads: Upload[] = [];
  try {
    for await (const { file, fieldname, filename } of request.files()) {
      uploads.push({ bytes: await collect(file, incoming), field: fieldname, filename });
    }
  } catch (error) {
    // Discard the rest, so that the connection's next request can be read.
    request.raw.unpipe().resume();
    // The form parser throws plain errors for malformed forms.
    if (error instanceof Error && 'statusCode' in error) throw error;
    throw new HttpError(400, 'invalid_form', `The form cannot be read: ${messageOf(error)}.`);
  }
  return uploads;
}

function bodyOf({ body }: FastifyRequest): Buffer {
  if (Buffer.isBuffer(body) && body.length > 0) return body;
  throw new HttpError(400, 'no_picture', 'The body is empty. Send a picture: curl --data-binary @a.jpg …');
}

/** Reads a stream into memory. A rejected one is drained, so that its connection can serve the next request. */
function collect(stream: Readable, incoming: IncomingBody): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] | undefined = [];
    stream.on('data', (chunk: Buffer) => {
      if (!chunks) return;
      try {
        incoming.add(chunk.length);
        chunks.push(chunk);
      } catch (error) {
        chunks = undefined;
        if (error instanceof Error) reject(error);
      }
    });
    stream.on('end', () => {
      resolve(Buffer.concat(chunks ?? []));
    });
    stream.on('error', reject);
    stream.on('close', () => {
      reject(new HttpError(400, 'body_truncated', 'The body ended too early.'));
    });
  });
}

function incomingOf({ incoming }: FastifyRequest): IncomingBody {
  if (!incoming) throw new Error('A body was read before its request was admitted.');
  return incoming;
}
