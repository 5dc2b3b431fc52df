import type { FastifyInstance } from 'fastify';
import { pageFile } from '../util/page-files.js';

/** The page may load what this server sends, and show pictures that the user chose. Nothing else. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const FILES = {
  '/': ['text/html; charset=utf-8', 'page.html'],
  '/page.css': ['text/css; charset=utf-8', 'page.css'],
  '/page.js': ['text/javascript; charset=utf-8', 'page.js'],
  '/icon.svg': ['image/svg+xml', 'icon.svg'],
} as const;

/**
 * Serves a page. It needs no API key; the requests that it makes do.
 * @param folder of the page in `src/browser`
 */
export function addPage(app: FastifyInstance, folder: 'server' | 'label'): void {
  for (const [path, [type, file]] of Object.entries(FILES)) {
    app.get(path, { config: { open: true }, schema: { hide: true } }, async (_request, reply) => {
      const text = await pageFile(`${folder}/${file}`);
      return reply
        .headers({
          'Content-Security-Policy': POLICY,
          'X-Content-Type-Options': 'nosniff',
          'Referrer-Policy': 'no-referrer',
          'Cache-Control': 'no-cache',
        })
        .type(type)
        .send(text);
    });
  }
}
