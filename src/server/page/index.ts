import type { FastifyInstance } from 'fastify';
import { ICON } from './icon.js';
import { PAGE } from './page.js';
import { SCRIPT } from './script.js';
import { STYLE } from './style.js';

/** What the page may do: nothing but show what this server sends, and pictures that the user chose. */
const POLICY = [
  "default-src 'none'",
  ...["script-src 'self'", "style-src 'self'", "img-src 'self' blob:", "connect-src 'self'"],
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join('; ');

const FILES = {
  '/': ['text/html; charset=utf-8', PAGE],
  '/page.css': ['text/css; charset=utf-8', STYLE],
  '/page.js': ['text/javascript; charset=utf-8', SCRIPT],
  '/icon.svg': ['image/svg+xml', ICON],
} as const;

/** The page on which people drop pictures. It holds nothing that needs a key; what it asks for does. */
export function addPage(app: FastifyInstance): void {
  for (const [path, [type, text]] of Object.entries(FILES)) {
    app.get(path, { config: { open: true }, schema: { hide: true } }, (_request, reply) =>
      reply
        .headers({
          'Content-Security-Policy': POLICY,
          'X-Content-Type-Options': 'nosniff',
          'Referrer-Policy': 'no-referrer',
          'Cache-Control': 'no-cache',
        })
        .type(type)
        .send(text),
    );
  }
}
