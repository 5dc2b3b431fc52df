import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What the server does with one request; by default it answers in full. */
export interface Behaviour {
  status?: number;
  /** Bytes of the answer's body after which the connection is cut. */
  cutAfter?: number;
  /** Bytes after which nothing more comes, though the connection stays open. */
  stallAfter?: number;
  /** When the rest comes after all. */
  goOn?: Promise<void>;
}

/** An HTTP server of one file, with ETag, Range and If-Range; each request does what is next in `behaviours`. */
export class FileServer {
  content: Uint8Array = new Uint8Array();
  etag = '"first"';
  behaviours: Behaviour[] = [];
  readonly requests: IncomingHttpHeaders[] = [];
  private readonly server = createServer((request, response) => {
    this.requests.push(request.headers);
    const { status, cutAfter, stallAfter, goOn } = this.behaviours.shift() ?? {};
    if (status !== undefined) {
      response.writeHead(status).end();
      return;
    }
    const { range, 'if-range': ifRange } = request.headers;
    const start = ifRange === this.etag ? Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0) : 0;
    if (start > 0 && start >= this.content.length) {
      response.writeHead(416, { 'Content-Range': `bytes */${this.content.length}` }).end();
      return;
    }
    const body = this.content.subarray(start);
    response.writeHead(start > 0 ? 206 : 200, { ETag: this.etag, 'Content-Length': body.length });
    if (cutAfter !== undefined) {
      response.write(body.subarray(0, cutAfter), () => setTimeout(() => request.socket.destroy(), 200));
    } else if (stallAfter !== undefined) {
      response.write(body.subarray(0, stallAfter));
      void goOn?.then(() => response.end(body.subarray(stallAfter)));
    } else {
      response.end(body);
    }
  });

  /** @returns the server's address, without a slash at the end */
  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
