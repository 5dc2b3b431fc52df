import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { Classifier } from '../../src/classify/classifier.js';
import { trainFromStore } from '../../src/classify/train.js';
import { embedDataset } from '../../src/embed/embed.js';
import { saveHead } from '../../src/head/file.js';
import type { ServerOptions } from '../../src/server/options.js';
import { type RunningServer, startServer } from '../../src/server/server.js';
import { stripedDataset } from './files.js';
import { smallNetwork } from './small-network.js';

/** A small network, a data set of stripes that it embedded, and a head: all that a server needs. */
export interface World {
  model: string;
  store: string;
  head: string;
  /** Paths of the pictures. */
  pictures: string[];
  /** Says what is right. */
  classifier: Classifier;
}

/** Makes a world in a folder. */
export async function makeWorld(folder: string, count = 12): Promise<World> {
  const [model, store, head, data] = ['small.onnx', 'store', 'stripes.safetensors', 'data'].map((name) =>
    join(folder, name),
  ) as [string, string, string, string];
  await writeFile(model, smallNetwork());
  const pictures = await stripedDataset(data, { train: { flat: count, steep: count, slanted: count } });
  const backbone = await loadBackbone({ model });
  await embedDataset(data, { backbone, store });
  const trained = await trainFromStore({ store });
  await saveHead(head, trained.head);
  return { model, store, head, pictures, classifier: new Classifier(backbone, trained.head) };
}

let running: RunningServer | undefined;

/** Starts a server on any free port, after the one before is closed: a process runs one backbone thread at a time. */
export async function serve(
  { model, store, head }: World,
  options: Partial<ServerOptions> = {},
): Promise<RunningServer> {
  await running?.close();
  running = undefined;
  running = await startServer({ ...{ heads: { stripes: head }, model, store, port: 0 }, ...options });
  return running;
}

/** For `afterAll`. */
export async function closeServer(): Promise<void> {
  await running?.close();
  running = undefined;
}

/** Lines of a log, to be read while they come. */
export function logLines(): { lines: string[]; log: NonNullable<ServerOptions['log']> } {
  const lines: string[] = [];
  return {
    lines,
    log: {
      level: 'debug',
      stream: {
        write: (line) => {
          lines.push((JSON.parse(line) as { msg: string }).msg);
        },
      },
    },
  };
}

/** An answer of the server. */
export interface Reply {
  status: number;
  headers: Headers;
  body: {
    head: { name: string; id: string };
    results: {
      field?: string;
      filename?: string;
      predictions: { label: string; probability: number }[];
      typicality: number | null;
      unknown: boolean;
      labels?: string[];
      similar?: { id: string; label: string; similarity: number }[];
      error?: { code: string; message: string };
    }[];
    error: { code: string; message: string };
  };
}

/** Sends a picture as the body, or a form. */
export async function post(
  url: string,
  body: Uint8Array<ArrayBuffer> | FormData | string,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const type = body instanceof FormData ? {} : { 'Content-Type': 'image/png' };
  const response = await fetch(url, { method: 'POST', headers: { ...type, ...headers }, body });
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Reply['body'],
  };
}

/** A form of files: field, file name and content of each. */
export function form(...files: [field: string, filename: string, bytes: Uint8Array<ArrayBuffer>][]): FormData {
  const data = new FormData();
  for (const [field, filename, bytes] of files) data.append(field, new Blob([bytes]), filename);
  return data;
}
