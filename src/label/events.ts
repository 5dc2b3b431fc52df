import type { ServerResponse } from 'node:http';
import type { LabelEvent } from './protocol.js';

/** Changes that are kept for pages that were away for a moment. */
const KEPT = 1000;

/** Bytes that a page may be behind. One that does not read is cut off, and comes back by itself. */
const MOST_BEHIND = 2 ** 26;

/** Proxies and browsers take a connection that is silent for longer for a dead one. */
const HEARTBEAT_MS = 15_000;

/** What happens, told to all pages in the same order. */
export class EventStreams {
  private readonly streams = new Set<ServerResponse>();
  private readonly kept: { seq: number; text: string }[] = [];
  private readonly heartbeat = setInterval(() => {
    this.write(': here\n\n');
  }, HEARTBEAT_MS);

  /** @param seq the number of the last change before the first that is told */
  constructor(private seq: number) {
    this.heartbeat.unref();
  }

  send(event: LabelEvent): void {
    const text = textOf(event);
    if ('seq' in event) {
      this.seq = event.seq;
      this.kept.push({ seq: event.seq, text });
      if (this.kept.length > KEPT) this.kept.shift();
    }
    this.write(text);
  }

  /**
   * Tells a page what happens from now on, and what it has missed.
   * @param since the number of the last change that the page knows; undefined for this one
   * @param first also told at the beginning
   */
  open(stream: ServerResponse, since = this.seq, first: readonly LabelEvent[] = []): void {
    stream.writeHead(200, {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      'X-Accel-Buffering': 'no',
    });
    const missed = this.kept.filter(({ seq }) => seq > since);
    const isComplete = since <= this.seq && this.seq - since === missed.length;
    stream.write(isComplete ? ': here\n\n' : textOf({ kind: 'reset' }));
    if (isComplete) for (const { text } of missed) stream.write(text);
    for (const event of first) stream.write(textOf(event));
    this.streams.add(stream);
    stream.on('close', () => this.streams.delete(stream));
    stream.on('error', () => this.streams.delete(stream));
  }

  /** Ends all streams. */
  close(): void {
    clearInterval(this.heartbeat);
    for (const stream of this.streams) stream.end();
  }

  private write(text: string): void {
    for (const stream of this.streams) {
      if (stream.writableLength > MOST_BEHIND) stream.destroy();
      else stream.write(text);
    }
  }
}

function textOf(event: LabelEvent): string {
  const id = 'seq' in event ? `id: ${event.seq}\n` : '';
  return `${id}data: ${JSON.stringify(event)}\n\n`;
}
