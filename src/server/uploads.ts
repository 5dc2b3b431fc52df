import type { Readable } from 'node:stream';
import multipart from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { messageOf } from '../util/errors.js';
import { holdsBodyBack } from './app.js';
import { HttpError } from './http-error.js';
import type { Arrival, Limits } from './limits.js';

/** The most files of one form. */
const MAX_FILES = 64;

/** A picture as a client sent it. Its names are only ever told back. */
export interface Upload {
  bytes: Buffer;
  /** Of a form: the field, and the file's name. */
  field?: string | undefined;
  filename?: string | undefined;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Measures the body; null before the request is let in. */
    arrival: Arrival | null;
  }
}

/** Lets an app take pictures as bodies and as the files of forms, and nothing else. */
export async function takeUploads(app: FastifyInstance, limits: Limits): Promise<void> {
  app.decorateRequest('arrival', null);
  // Before the body comes: who is refused has it neither kept nor read as a form.
  app.addHook('onRequest', (request, reply, done) => {
    const arrival = limits.enter();
    request.arrival = arrival;
    // `onResponse` would not be told of clients that go before they have their answer.
    reply.raw.once('close', arrival.release);
    if (holdsBodyBack(request)) reply.raw.writeContinue();
    done();
  });
  app.removeAllContentTypeParsers();
  for (const type of [/^image\//, 'application/octet-stream']) {
    app.addContentTypeParser(type, async (request: FastifyRequest, payload: Readable) =>
      collect(payload, arrivalOf(request)),
    );
  }
  await app.register(multipart, {
    limits: { files: MAX_FILES, fields: 16, fieldSize: 1000, fileSize: Infinity, parts: MAX_FILES + 16 },
  });
}

/**
 * The pictures of a request, in the order in which they were sent.
 * @throws {HttpError} where there are none, or too many or too large ones
 */
export async function uploadsOf(request: FastifyRequest): Promise<Upload[]> {
  const uploads = request.isMultipart() ? await filesOf(request) : [{ bytes: bodyOf(request) }];
  arrivalOf(request).end();
  if (uploads.length === 0) {
    throw new HttpError(
      400,
      'no_picture',
      'The form holds no file. Send pictures as files: curl -F file=@a.jpg …',
    );
  }
  return uploads;
}

async function filesOf(request: FastifyRequest): Promise<Upload[]> {
  const arrival = arrivalOf(request);
  const uploads: Upload[] = [];
  try {
    for await (const { file, fieldname, filename } of request.files()) {
      uploads.push({ bytes: await collect(file, arrival), field: fieldname, filename });
    }
  } catch (error) {
    // What is left of it is let go, for the sake of the connection's next request.
    request.raw.unpipe().resume();
    // The parser of forms tells of a broken one by a plain error.
    if (error instanceof Error && 'statusCode' in error) throw error;
    throw new HttpError(400, 'bad_form', `The form cannot be read: ${messageOf(error)}.`);
  }
  return uploads;
}

function bodyOf({ body }: FastifyRequest): Buffer {
  if (Buffer.isBuffer(body) && body.length > 0) return body;
  throw new HttpError(400, 'no_picture', 'The body is empty. Send a picture: curl --data-binary @a.jpg …');
}

/** Holds a stream's bytes. One that is refused flows on, so that its connection is of use to the next request. */
function collect(stream: Readable, arrival: Arrival): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] | undefined = [];
    stream.on('data', (chunk: Buffer) => {
      try {
        if (chunks) arrival.add(chunk.length);
        chunks?.push(chunk);
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
      reject(new HttpError(400, 'body_cut', 'The body ended too early.'));
    });
  });
}

function arrivalOf({ arrival }: FastifyRequest): Arrival {
  if (!arrival) throw new Error('The body of a request came before the request.');
  return arrival;
}
