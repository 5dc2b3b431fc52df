import type { BackboneOptions } from '../backbone/load.js';
import { UsageError } from '../util/errors.js';
import { withDefaults, type WithDefaults, checkInteger } from '../util/validate.js';

export interface ServerOptions extends Omit<BackboneOptions, 'modelId' | 'onNotice'> {
  /** Files of the heads by the names under which they are served; the first one answers where none is named. */
  heads: Readonly<Record<string, string>>;
  /** Address to listen on. Default: 127.0.0.1, which no other machine reaches. */
  host?: string | undefined;
  /** 0 takes any that is free. Default: 8080. */
  port?: number | undefined;
  /** What clients have to send as `Authorization: Bearer KEY` or `X-API-Key: KEY`. */
  apiKey?: string | undefined;
  /** Listen without a key even where other machines reach the server. Default: false. */
  withoutKey?: boolean | undefined;
  /** The store with the pictures that similar ones are sought among. Default: `embeddings` where it is there; else none. */
  store?: string | undefined;
  /** The data set of the store; by default the one that the backbone embedded last. */
  dataset?: string | undefined;
  /** Pictures that go through the backbone together, in each of its threads. Default: 8. */
  maxBatch?: number | undefined;
  /** How long an idle thread waits for a batch to fill, in ms. Default: 0: pictures that come while all work are the next batch. */
  maxWait?: number | undefined;
  /** Pictures that wait or are at work; beyond it requests are refused by 429. Default: 128. */
  maxQueue?: number | undefined;
  /** Bytes of a request's body. Default: 32 MiB. */
  maxBody?: number | undefined;
  /** Bytes of all bodies that are held; beyond it requests are refused by 429. Default: 256 MiB. */
  maxHeld?: number | undefined;
  /** Pixels of a picture. Default: 64 million. */
  maxPixels?: number | undefined;
  /** How long a request may take, from its first byte to the answer, in ms. Default: 30,000. */
  timeout?: number | undefined;
  /** How long those under way may still take once the server is closed, in ms. Default: 10,000. */
  grace?: number | undefined;
  /** How often the files of the heads are looked at for a change, in ms. Default: 1000. */
  reloadInterval?: number | undefined;
  /** Default: nothing is logged. */
  log?: LogOptions | undefined;
}

export interface LogOptions {
  /** Each request is told at `debug`. */
  level: 'debug' | 'info' | 'warn' | 'error';
  /** Takes one JSON object a line. */
  stream: { write(line: string): void };
}

export const DEFAULTS = {
  host: '127.0.0.1',
  port: 8080,
  withoutKey: false,
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

/** The shortest key that is taken. */
const MIN_KEY = 8;

/** @throws {UsageError} where an option makes no sense, or other machines would reach a server without a key */
export function settingsOf(options: ServerOptions): Settings {
  const settings = withDefaults(options, DEFAULTS);
  if (Object.keys(settings.heads).length === 0)
    throw new UsageError('No head is given; name a file by --head.');
  for (const name of Object.keys(settings.heads)) {
    if (!isHeadName(name)) {
      throw new UsageError(
        `The head's name ${JSON.stringify(name)} must be of letters, digits and . _ - only.`,
      );
    }
  }
  for (const name of ['maxBatch', 'maxQueue', 'maxBody', 'maxHeld', 'maxPixels', 'timeout'] as const) {
    checkInteger(name, settings[name], { min: 1 });
  }
  if (settings.apiKey !== undefined && settings.apiKey.length < MIN_KEY) {
    throw new UsageError(`The API key has ${settings.apiKey.length} characters; take ${MIN_KEY} or more.`);
  }
  if (!isLoopback(settings.host) && settings.apiKey === undefined && !settings.withoutKey) {
    throw new UsageError(
      `At ${settings.host} other machines reach the server. Set a key in LASTLAYER_API_KEY or by --api-key, or pass ` +
        `--no-auth to let anyone in.`,
    );
  }
  return settings;
}

/** Whether it can stand in an address as it is. */
function isHeadName(name: string): boolean {
  return /^[\w.-]+$/.test(name);
}

/** Whether an address, or the host of a URL, is reached from this machine alone. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/.test(host);
}
