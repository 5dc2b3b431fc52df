import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import multipart from '@fastify/multipart';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import sharp from 'sharp';
import { readPicture } from '../data/read.js';
import { decodeWhole } from '../image/decode.js';
import { createApp, drain, listen, restrictAccess } from '../server/app.js';
import { HttpError } from '../server/errors.js';
import { addPage } from '../server/page.js';
import { refusalOfForm } from '../server/uploads.js';
import { cacheFolder } from '../util/cache-folder.js';
import { codeOf, LastlayerError, messageOf } from '../util/errors.js';
import { isInRange, type NumberRange, requirement, withDefaults } from '../util/validate.js';
import type { NewFile } from './add.js';
import { DEFAULTS, type LabelOptions, type LabelSettings } from './options.js';
import { QUEUES, type SaveAnswer, type Session } from './protocol.js';
import { LabelSession } from './session.js';
import { ThumbnailCache } from './thumbnails.js';
import { proofOf, tokenFor } from './token.js';

const HOST = '127.0.0.1';

/** Bytes of a request's body that is not a picture: an action on a million pictures takes 8 MB. */
const MOST_BODY = 2 ** 24;

/** Of a picture that has to be converted, in pixels. */
const MOST_SIDE = 4096;

/** Bytes of a form with pictures. */
const MOST_FORM = 2 ** 32;

/** How long a request may take to arrive, in ms: dropped folders are large. */
const TIMEOUT = 600_000;

/** How long `close` waits for requests in progress, in ms. */
const GRACE = 10_000;

/** A labelling session that a browser can open. */
export interface RunningLabelling {
  /** With the token that lets a browser in, e.g. `http://127.0.0.1:8081/?token=…`. */
  url: string;
  /** Absolute path of the manifest that is written. */
  manifest: string;
  /** Absolute path of the head that is written. */
  head: string;
  /** Writes the manifest, and the head if there are enough labels. */
  save(): Promise<SaveAnswer>;
  /**
   * Ends what is under way, saves what is not saved yet, and frees everything.
   * @returns what was saved; null if nothing had changed
   */
  close(): Promise<SaveAnswer | null>;
}

/**
 * Embeds a data set, and serves a page to label it on. Only this machine can reach it, and only who knows the address.
 * @throws {UsageError} if an option is invalid
 * @throws {LastlayerError} if the data set, the model, the store or the port cannot be used, or another process labels the data set
 * @throws the signal's reason, once it aborts
 */
export async function startLabelling(options: LabelOptions): Promise<RunningLabelling> {
  const settings = withDefaults(options, DEFAULTS);
  const session = await LabelSession.open(settings);
  const thumbnails = new ThumbnailCache(cacheFolder('thumbnails'));
  let app: FastifyInstance | undefined;
  let uploads: string | undefined;
  try {
    const token = await tokenFor(session.journal);
    uploads = await mkdtemp(join(tmpdir(), 'lastlayer-uploads-'));
    const server = (app = await createApp({ maxBody: MOST_BODY, timeout: TIMEOUT, log: undefined, cors: [] }));
    restrictAccess(server, {
      secret: {
        texts: [token, session.start],
        sentIn: (request) => said(request, 'token') ?? said(request, 'start'),
        refusal: wrongToken,
      },
      thisMachine: { help: 'Open the address that it printed when it started.' },
      ownPages: true,
    });
    refuseNumbersOfBefore(server, session.start);
    addPage(server, 'label');
    server.get<{ Querystring: Query }>('/api/proof', { config: { open: true } }, ({ query, socket }) => ({
      proof: proofOf(token, textIn(query, 'nonce') ?? '', socket.localPort!),
    }));
    const folder = uploads;
    await server.register((routes, _, done) => {
      tellFailures(routes, settings);
      addRoutes(routes, session, thumbnails);
      addUploads(routes, session, folder);
      done();
    });
    const origin = await listen(server, { host: HOST, port: settings.port });
    const url = `${origin}/?token=${token}`;
    await session.serveAt(origin);
    return {
      url,
      manifest: session.manifest,
      head: session.head,
      save: () => session.save(),
      close: async () => {
        session.events.close();
        await drain(server, GRACE);
        try {
          return await session.saveUnsaved();
        } finally {
          await session.close();
          await thumbnails.close();
          await rm(folder, { recursive: true, force: true });
        }
      },
    };
  } catch (error) {
    await app?.close();
    await session.close();
    if (uploads !== undefined) await rm(uploads, { recursive: true, force: true });
    throw error;
  }
}

/** What a request says as a header or, as browsers set none for pictures and events, in its address. */
function said({ headers, query }: FastifyRequest, name: 'token' | 'start'): unknown {
  return headers[`x-${name}`] ?? (query as Query)[name];
}

function wrongToken(): HttpError {
  return new HttpError(
    401,
    'wrong_token',
    'The token is missing or not that of these labels. Open the address that the server printed when it started.',
  );
}

/** A page that was open when the server was started anew may name pictures by numbers that are others' now. */
function refuseNumbersOfBefore(app: FastifyInstance, start: string): void {
  app.addHook('onRequest', (request, _reply, done) => {
    if (![undefined, start].includes(said(request, 'start') as string | undefined)) {
      throw new HttpError(
        409,
        'restarted',
        'The server was started anew, so pictures may have other numbers. Ask for the session again.',
      );
    }
    done();
  });
}

/** The person at the page owns the files: the reason why something failed is for them. Bugs are told on the terminal. */
function tellFailures(app: FastifyInstance, { onNotice }: LabelSettings): void {
  app.setErrorHandler((error) => {
    if (error instanceof LastlayerError) throw new HttpError(500, 'failed', error.message);
    if (error instanceof Error && !('statusCode' in error)) onNotice?.(error.stack ?? error.message);
    throw error;
  });
}

interface ByNumber {
  Params: { id: string };
}

function addRoutes(app: FastifyInstance, session: LabelSession, thumbnails: ThumbnailCache): void {
  app.addContentTypeParser('application/json', { parseAs: 'string' }, app.getDefaultJsonParser('error', 'error'));

  app.get('/api/session', ({ socket }): Session => ({ ...session.describe(), port: socket.localPort! }));

  app.get<{ Querystring: { since?: string } }>('/api/events', (request, reply) => {
    const since = request.headers['last-event-id'] ?? request.query.since;
    reply.hijack();
    session.events.open(reply.raw, since === undefined ? undefined : Number(since), [
      { kind: 'classifier', classifier: session.learning.classifier },
    ]);
  });

  app.post('/api/actions', (request) => session.act(request.body));

  app.post('/api/save', () => session.save());

  app.get('/api/suggestions', () => session.learning.suggestions());

  app.get<{ Params: { name: string }; Querystring: Query }>('/api/queues/:name', ({ params, query }) => {
    const name = QUEUES.find((each) => each === params.name);
    if (!name)
      throw new HttpError(404, 'unknown_queue', `There is no queue ${params.name}, only ${QUEUES.join(', ')}.`);
    const count = numberIn(query, 'count', { integer: true, min: 1, max: 10_000 }, DEFAULT_COUNT);
    return session.learning.queue({ name, count, ...acceptOptions(query) });
  });

  app.get<{ Querystring: Query }>('/api/accept', ({ query }) => session.learning.acceptPreview(acceptOptions(query)));

  app.get<ByNumber & { Querystring: Query }>('/api/similar/:id', ({ params, query }) => {
    const { number } = session.picture(Number(params.id));
    const count = numberIn(query, 'count', { integer: true, min: 1, max: 10_000 }, DEFAULT_COUNT);
    return session.learning.similar(number, count);
  });

  app.get('/api/findings', () => session.learning.findings());

  app.get<ByNumber>('/thumbnails/:id', async ({ params }, reply) => {
    const { digest, problem, ...source } = session.picture(Number(params.id));
    if (problem !== null) throw new HttpError(422, 'unreadable_picture', problem);
    const webp = await readable(() => thumbnails.get(digest, async () => (await readPicture(source)).bytes));
    // The page's addresses say which start of the server they are from, and until its end a number means the same.
    return reply.header('Cache-Control', 'private, max-age=86400, immutable').type('image/webp').send(webp);
  });

  app.get<ByNumber>('/pictures/:id', async ({ params }, reply) => {
    const { problem, ...source } = session.picture(Number(params.id));
    if (problem !== null) throw new HttpError(422, 'unreadable_picture', problem);
    const { type, bytes } = await readable(async () => shownAs((await readPicture(source)).bytes));
    return reply
      .headers({ 'Cache-Control': 'private, max-age=3600', 'X-Content-Type-Options': 'nosniff' })
      .header('Content-Security-Policy', "default-src 'none'; sandbox")
      .type(type)
      .send(bytes);
  });
}

type Query = Readonly<Record<string, unknown>>;

/** Pictures of a queue, unless the page asks for more or fewer. */
const DEFAULT_COUNT = 200;

/** Certainty of what is accepted, unless the page says otherwise. */
const DEFAULT_ABOVE = 0.95;

function acceptOptions(query: Query): { above: number; label: string | undefined } {
  return { above: numberIn(query, 'above', { min: 0, max: 1 }, DEFAULT_ABOVE), label: textIn(query, 'label') };
}

function numberIn(query: Query, name: string, range: NumberRange, fallback: number): number {
  const text = textIn(query, name);
  const value = text === undefined || text === '' ? fallback : Number(text);
  if (isInRange(value, range)) return value;
  throw new HttpError(400, 'bad_request', `The parameter ${name} is ${JSON.stringify(text)}. ${requirement(range)}`);
}

function textIn(query: Query, name: string): string | undefined {
  const value = query[name];
  if (value === undefined || typeof value === 'string') return value;
  throw new HttpError(400, 'bad_request', `The parameter ${name} is given more than once.`);
}

/** Files of one form, and bytes of each. */
const MOST_FILES = 1000;
const MOST_BYTES = 2 ** 26;

/** @param folder where files are until their form has arrived: a slow one keeps nobody waiting */
function addUploads(app: FastifyInstance, session: LabelSession, folder: string): void {
  void app.register(async (posts) => {
    await posts.register(multipart, {
      // A file that is too large is refused alone.
      throwFileSizeLimit: false,
      limits: { files: MOST_FILES, fields: 16, fieldSize: 1000, fileSize: MOST_BYTES, parts: MOST_FILES + 16 },
    });
    posts.post<{ Querystring: Query }>('/api/pictures', { bodyLimit: MOST_FORM }, async (request) => {
      const { query } = request;
      const label = textIn(query, 'label');
      if (!request.isMultipart()) {
        throw new HttpError(415, 'unsupported_type', 'Send the pictures as files of a form: curl -F file=@a.jpg …');
      }
      const { files } = await request.saveRequestFiles({ tmpdir: folder }).catch((error: unknown) => {
        const refusal = refusalOfForm(request, error);
        throw codeOf(error) === 'FST_FILES_LIMIT' ? tooMany() : refusal;
      });
      const whole = files.filter(({ file }) => !file.truncated);
      const answer = await session.add(textIn(query, 'id') ?? randomUUID(), label, newFiles(whole));
      const large = files.filter(({ file }) => file.truncated);
      const reason = `it is larger than ${MOST_BYTES / 2 ** 20} MiB`;
      return { ...answer, refused: [...answer.refused, ...large.map(({ filename: name }) => ({ name, reason }))] };
    });
  });
}

function tooMany(): HttpError {
  return new HttpError(413, 'too_many_pictures', `A form may have at most ${MOST_FILES} files. Send several forms.`);
}

async function* newFiles(files: readonly { filename: string; filepath: string }[]): AsyncGenerator<NewFile> {
  for (const { filename, filepath } of files) yield { name: filename, bytes: await readFile(filepath) };
}

async function readable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new HttpError(422, 'unreadable_picture', messageOf(error));
  }
}

/** What browsers show as it is, turned upright by its EXIF orientation, by how its bytes begin. */
const SHOWN: readonly [RegExp, string][] = [
  [/^\xff\xd8\xff/, 'image/jpeg'],
  [/^\x89PNG\r\n/, 'image/png'],
  [/^GIF8[79]a/, 'image/gif'],
  [/^RIFF[^]{4}WEBP/, 'image/webp'],
  [/^[^]{4}ftypavi[fs]/, 'image/avif'],
];

async function shownAs(bytes: Uint8Array): Promise<{ type: string; bytes: Buffer }> {
  const beginning = Buffer.from(bytes.subarray(0, 16)).toString('latin1');
  const known = SHOWN.find(([begins]) => begins.test(beginning));
  if (known) return { type: known[1], bytes: Buffer.from(bytes) };
  const { data, ...raw } = await decodeWhole(bytes, '#ffffff', MOST_SIDE);
  return { type: 'image/webp', bytes: await sharp(data, { raw }).webp({ quality: 90 }).toBuffer() };
}
