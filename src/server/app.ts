import { timingSafeEqual } from 'node:crypto';
import cors from '@fastify/cors';
import swagger from '@fastify/swagger';
import fastify, { type FastifyInstance, type FastifyRequest, LogController } from 'fastify';
import { codeOf, LastlayerError, messageOf } from '../util/errors.js';
import { sha256Of } from '../util/hash.js';
import { handleErrors, HttpError } from './errors.js';
import { isLoopback, type Settings } from './options.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route needs no API key. */
    open?: boolean;
    /** The request's body, for the OpenAPI description alone. */
    requestBody?: object;
  }
}

/** How often Node looks for connections that have timed out, in ms. */
const CHECK_INTERVAL = 1000;

/** How long a client may take to send the headers, in ms. */
const HEADERS_TIMEOUT = 10_000;

/** For how long browsers may remember that a page of another origin is let in, in seconds. */
const PREFLIGHT_AGE = 600;

/** An HTTP server without routes: timeouts, log, error answers, pages of other origins and OpenAPI description. */
export async function createApp({
  maxBody,
  timeout,
  log,
  cors: origins,
}: Pick<Settings, 'maxBody' | 'timeout' | 'log' | 'cors'>): Promise<FastifyInstance> {
  const app = fastify({
    logger: log ?? false,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: maxBody,
    requestTimeout: timeout,
    http: { connectionsCheckingInterval: CHECK_INTERVAL, headersTimeout: Math.min(HEADERS_TIMEOUT, timeout) },
    routerOptions: { maxParamLength: 200, ignoreTrailingSlash: true },
    // Reject unknown parameters rather than drop them.
    ajv: { customOptions: { removeAdditional: false } },
  });
  // Without a route's own parsers, no body is read.
  app.removeAllContentTypeParsers();
  handleErrors(app);
  // Before the check of the key, which a browser's preflight request does not send.
  if (origins.length > 0) {
    await app.register(cors, {
      origin: [...origins],
      exposedHeaders: ['Retry-After'],
      maxAge: PREFLIGHT_AGE,
      strictPreflight: false,
    });
  }
  await app.register(swagger, {
    stripBasePath: false,
    openapi: {
      openapi: '3.0.3',
      info: { title: 'lastlayer', description: 'Classifies pictures.', version: '1' },
      // Where the description itself is, also under a path of a proxy.
      servers: [{ url: '.' }],
      components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
    },
    transform: ({ schema, url, route }) => {
      const { requestBody, open } = route.config ?? {};
      const security = open ? {} : { security: [{}, { key: [] }] };
      return { schema: { ...schema, ...security, ...(requestBody && { body: requestBody }) }, url };
    },
  });
  return app;
}

/**
 * @param described a line for the log
 * @returns the server's address
 * @throws {LastlayerError} if the port cannot be used
 */
export async function listen(
  app: FastifyInstance,
  { host, port }: Pick<Settings, 'host' | 'port'>,
  described?: (address: string) => string,
): Promise<string> {
  try {
    return await app.listen({ host, port, ...(described && { listenTextResolver: described }) });
  } catch (error) {
    const reason =
      codeOf(error) === 'EADDRINUSE' ? 'Another program uses it; choose another one with --port.' : messageOf(error);
    throw new LastlayerError(`The server cannot listen on port ${port} of ${host}. ${reason}`);
  }
}

/** Accepts no more requests, and waits for those in progress, but only for so many ms. */
export async function drain(app: FastifyInstance, grace: number): Promise<void> {
  const cutOff = setTimeout(() => {
    app.server.closeAllConnections();
  }, grace);
  await app.close();
  clearTimeout(cutOff);
}

/** Which requests are admitted. */
export interface Access {
  /** What they must send one of, but to routes that are open, and how those that do not are refused. */
  secret?:
    { texts: readonly string[]; sentIn: (request: FastifyRequest) => unknown; refusal: () => HttpError } | undefined;
  /** Whether they must address the server as this machine, and what helps those that do not, in a sentence. */
  thisMachine?: { help: string } | undefined;
  /** Whether those of pages of other origins are refused. */
  ownPages?: boolean | undefined;
}

/** Admits requests by what they send and where they come from. */
export function restrictAccess(app: FastifyInstance, { secret, thisMachine, ownPages }: Access): void {
  const digests = secret?.texts.map(digestOf) ?? [];
  app.addHook('onRequest', (request, _reply, done) => {
    const { headers, hostname, host } = request;
    // DNS rebinding: a web page can point its own name at this machine, and could then read the answers.
    if (thisMachine && !isLoopback(hostname)) {
      throw new HttpError(
        403,
        'wrong_host',
        `This server answers to localhost, not to ${hostname || 'a request without Host'}. ${thisMachine.help}`,
      );
    }
    if (ownPages && headers.origin !== undefined && headers.origin !== `http://${host}`) {
      throw new HttpError(403, 'wrong_origin', `Pages of ${headers.origin} may not use this one.`);
    }
    if (secret && !request.routeOptions.config.open) {
      const said = secret.sentIn(request);
      const sent = digestOf(typeof said === 'string' ? said : '');
      // Digests have equal lengths, so every wrong secret takes equally long to compare.
      if (!digests.some((digest) => timingSafeEqual(sent, digest))) throw secret.refusal();
    }
    done();
  });
}

function digestOf(text: string): Buffer {
  return Buffer.from(sha256Of(text));
}
