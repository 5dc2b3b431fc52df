import type { Readable } from 'node:stream';
import multipart from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { codeOf, messageOf } from '../util/errors.js';
import { HttpError } from './errors.js';
import { picturesInJson } from './json-pictures.js';
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

/** Makes an app accept pictures as bodies, as files of forms and in JSON, and nothing else. */
export async function acceptUploads(app: FastifyInstance, limits: Limits): Promise<void> {
  app.decorateRequest('incoming', null);
  // Before the body arrives, so that a rejected one is neither kept nor parsed.
  app.addHook('onRequest', (request, reply, done) => {
    refuseEncoding(request);
    const incoming = limits.receive();
    request.incoming = incoming;
    // Not in `onResponse`, which does not run if the client disconnects early.
    reply.raw.once('close', incoming.release);
    if (expectsContinue(request)) reply.raw.writeContinue();
    done();
  });
  const parsers: [types: RegExp, uploads: (body: Buffer) => Upload[]][] = [
    [/^(image\/|application\/octet-stream)/i, (bytes) => [{ bytes }]],
    [/^application\/json/i, picturesInJson],
  ];
  for (const [types, uploads] of parsers) {
    app.addContentTypeParser(types, async (request: FastifyRequest, payload: Readable) => {
      const body = await collect(payload, incomingOf(request));
      return body.length > 0 ? uploads(body) : undefined;
    });
  }
  await app.register(multipart, {
    limits: { files: MAX_FILES, fields: 16, fieldSize: 1000, fileSize: Infinity, parts: MAX_FILES + 16 },
  });
}

function refuseEncoding({ headers }: FastifyRequest): void {
  const encoding = headers['content-encoding'] ?? 'identity';
  if (/^\s*identity\s*$/i.test(encoding)) return;
  throw new HttpError(
    415,
    'encoded_body',
    `The body has Content-Encoding: ${encoding}. Send it as it is; pictures are compressed already.`,
    { 'Accept-Encoding': 'identity' },
  );
}

/**
 * The pictures of a request, in the order in which they were sent.
 * @throws {HttpError} if there are none, or they exceed a limit
 */
export async function uploadsOf(request: FastifyRequest): Promise<Upload[]> {
  const uploads = request.isMultipart() ? await filesOf(request) : (request.body as Upload[] | undefined);
  incomingOf(request).complete();
  if (!uploads) {
    throw new HttpError(400, 'no_picture', 'The body is empty. Send a picture: curl --data-binary @a.jpg …');
  }
  if (uploads.length > MAX_FILES) throw tooMany();
  return uploads;
}

function tooMany(): HttpError {
  return new HttpError(413, 'too_many_pictures', `A request may have at most ${MAX_FILES} pictures.`);
}

async function filesOf(request: FastifyRequest): Promise<Upload[]> {
  const incoming = incomingOf(request);
  const uploads: Upload[] = [];
  const texts: string[] = [];
  try {
    for await (const part of request.parts()) {
      if (part.type === 'field') texts.push(part.fieldname);
      else uploads.push({ bytes: await collect(part.file, incoming), field: part.fieldname, filename: part.filename });
    }
  } catch (error) {
    const refusal = refusalOfForm(request, error);
    throw codeOf(error) === 'FST_FILES_LIMIT' ? tooMany() : refusal;
  }
  const only = texts.length > 0 ? `, only text in ${texts.map((name) => JSON.stringify(name)).join(', ')}` : '';
  if (uploads.length === 0) {
    throw new HttpError(
      400,
      'no_picture',
      `The form has no file${only}. Send pictures as files: curl -F file=@a.jpg …`,
    );
  }
  if (texts[0] === undefined) return uploads;
  throw new HttpError(
    400,
    'unknown_field',
    `The form has text in ${JSON.stringify(texts[0])}, but only files are taken. Parameters belong to the address: ?topK=2.`,
  );
}

/**
 * The answer to a form that could not be read to its end. Discards the rest of it, so that the connection's next request can be read.
 * @param error what the form parser threw
 */
export function refusalOfForm(request: FastifyRequest, error: unknown): Error {
  request.raw.unpipe().resume();
  if (error instanceof Error && 'statusCode' in error) return error;
  // The form parser throws plain errors for malformed forms.
  const help = /boundary/i.test(request.headers['content-type'] ?? '')
    ? ''
    : ' Do not set Content-Type yourself: the client does, with a boundary.';
  return new HttpError(400, 'invalid_form', `The form cannot be read: ${messageOf(error)}.${help}`);
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
