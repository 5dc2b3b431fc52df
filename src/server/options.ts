import type { BackboneOptions } from '../backbone/load.js';
import { checkRate, type UnknownRate } from '../head/unknown.js';
import { UsageError } from '../util/errors.js';
import { checkInteger, type WithDefaults, withDefaults } from '../util/validate.js';

export interface ServerOptions extends Omit<BackboneOptions, 'neededBy' | 'onNotice'> {
  /** Head files by the names that they are served under. The first one is the default of requests that name none. */
  heads: Readonly<Record<string, string>>;
  /** Address to listen on. Other machines cannot reach the default. @default '127.0.0.1' */
  host?: string | undefined;
  /** 0 takes any free port. @default 8080 */
  port?: number | undefined;
  /** What clients have to send as `Authorization: Bearer KEY` or `X-API-Key: KEY`; at least 8 characters. */
  apiKey?: string | undefined;
  /** false: listen without a key even where other machines reach the server, and answer to any host name. @default true */
  auth?: boolean | undefined;
  /**
   * Origins of other pages that may use the server from a browser, such as `https://shop.example`; `*` for all (CORS).
   * @default none
   */
  cors?: readonly string[] | undefined;
  /** Which pictures are called unknown, by all heads but multilabel ones. @default as each head was trained */
  unknown?: UnknownRate | undefined;
  /** The store whose pictures are searched for similar ones. @default `embeddings` if it exists, else none */
  store?: string | undefined;
  /** The data set of the store. @default the one that the backbone embedded last */
  dataset?: string | undefined;
  /** Pictures per batch, in each thread of the backbone. @default 8 */
  maxBatch?: number | undefined;
  /**
   * How long an idle thread waits for a batch to fill, in ms. With 0, pictures that arrive while all threads are busy form the
   * next batch.
   * @default 0
   */
  maxWait?: number | undefined;
  /** Pictures that may be waiting or in progress; requests beyond that are rejected with 429. @default 128 */
  maxQueue?: number | undefined;
  /** Bytes of a request's body. @default 32 MiB */
  maxBody?: number | undefined;
  /** Bytes of all request bodies in memory; requests beyond that are rejected with 429. @default 256 MiB */
  maxHeld?: number | undefined;
  /** Pixels of a picture. @default 64 million */
  maxPixels?: number | undefined;
  /** How long a request may take, from its first byte to the answer, in ms. @default 30 000 */
  timeout?: number | undefined;
  /** How long `close` waits for requests in progress, in ms. @default 10 000 */
  grace?: number | undefined;
  /** How often the head files are checked for changes, in ms. @default 1000 */
  reloadInterval?: number | undefined;
  /** @default nothing is logged */
  log?: LogOptions | undefined;
}

export interface LogOptions {
  /** `debug` logs each request. */
  level: 'debug' | 'info' | 'warn' | 'error';
  /** Takes one JSON object a line. */
  stream: { write(line: string): void };
}

export const DEFAULTS = {
  host: '127.0.0.1',
  port: 8080,
  auth: true,
  cors: [] as readonly string[],
  maxBatch: 8,
  maxWait: 0,
  maxQueue: 128,
  maxBody: 32 * 2 ** 20,
  maxHeld: 256 * 2 ** 20,
  maxPixels: 64e6,
  timeout: 30_000,
  grace: 10_000,
  reloadInterval: 1000,
} as const;

export type Settings = WithDefaults<ServerOptions, typeof DEFAULTS>;

const MIN_KEY_LENGTH = 8;

/** @throws {UsageError} if an option is invalid, or other machines could reach a server without a key */
export function settingsOf(options: ServerOptions): Settings {
  const settings = withDefaults(options, DEFAULTS);
  const { apiKey, auth, cors, heads, host } = settings;
  const names = Object.keys(heads);
  if (names.length === 0) throw new UsageError('No head is given. Name a head file with --head.');
  for (const name of names) {
    // The name is part of the head's URL.
    if (/^[\w.-]+$/.test(name)) continue;
    throw new UsageError(`The head name ${JSON.stringify(name)} may only contain letters, digits, ".", "_" and "-".`);
  }
  for (const name of ['maxBatch', 'maxQueue', 'maxBody', 'maxHeld', 'maxPixels', 'timeout'] as const) {
    checkInteger(name, settings[name], { min: 1 });
  }
  if (settings.unknown !== undefined) checkRate(settings.unknown);
  if (apiKey !== undefined && apiKey.length < MIN_KEY_LENGTH) {
    throw new UsageError(`The API key has ${apiKey.length} characters. Use ${MIN_KEY_LENGTH} or more.`);
  }
  if (auth && apiKey === undefined && !isLoopback(host)) {
    throw new UsageError(
      `Other machines can reach the server at ${host}. Set a key in LASTLAYER_API_KEY or with --api-key, or pass --no-auth to ` +
        `let anyone in.`,
    );
  }
  return { ...settings, cors: cors.map(originOf) };
}

/** Whether only this machine reaches an address, or the host of a URL. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i.test(host);
}

/** An origin as browsers write it: in lower case, without the scheme's own port and without a slash at its end. */
function originOf(text: string): string {
  if (text === '*') return text;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url?.host || !/^[a-z][\w+.-]*:\/\/[^/?#@*]+\/?$/i.test(text)) {
    throw new UsageError(
      `The origin ${JSON.stringify(text)} of --cors must be a scheme, a host and maybe a port, such as http://localhost:3000, ` +
        'or * for all.',
    );
  }
  // URL knows the origins of the web alone, not those of apps, such as capacitor://localhost.
  return url.origin === 'null' ? `${url.protocol}//${url.host}` : url.origin;
}
