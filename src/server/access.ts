import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { HttpError } from './http-error.js';
import { isLoopback, type Settings } from './options.js';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether it is for everyone, key or no key. */
    open?: boolean;
  }
}

/** Lets those in who have the key; where there is none, on a loopback address, those who mean this machine. */
export function guard(app: FastifyInstance, { apiKey, withoutKey, host }: Settings): void {
  const digest = apiKey === undefined ? undefined : sha256(apiKey);
  const isLocal = isLoopback(host) && !withoutKey;
  app.addHook('onRequest', (request, _reply, done) => {
    if (digest) {
      if (!request.routeOptions.config.open && !isKey(request, digest)) throw keyNeeded();
    } else if (isLocal && !isLoopback(request.hostname)) {
      // A page of the web can have its own name point here, and would then read the answers.
      throw new HttpError(
        403,
        'wrong_host',
        `This server answers to localhost, not to ${request.hostname}. Behind a proxy, start it with --api-key or --no-auth.`,
      );
    }
    done();
  });
}

function isKey({ headers }: FastifyRequest, digest: Buffer): boolean {
  const bearer = /^Bearer +(.+)$/i.exec(headers.authorization ?? '')?.[1];
  const given = bearer ?? headers['x-api-key'];
  // Digests are of one length, so that the comparison takes as long for every wrong key.
  return typeof given === 'string' && timingSafeEqual(sha256(given), digest);
}

function keyNeeded(): HttpError {
  return new HttpError(
    401,
    'key_needed',
    'Send the API key as the header `Authorization: Bearer KEY` or `X-API-Key: KEY`.',
    { 'WWW-Authenticate': 'Bearer' },
  );
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
