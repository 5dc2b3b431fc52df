import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backbone } from '../../src/backbone/backbone.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { BackbonePool } from '../../src/backbone/pool.js';
import { Classifier } from '../../src/classify/classifier.js';
import { trainFromStore } from '../../src/classify/train.js';
import { openDataset } from '../../src/data/open.js';
import { embedDataset, type EmbedOptions } from '../../src/embed/embed.js';
import { saveHead } from '../../src/head/file.js';
import { startServer } from '../../src/server/server.js';

export interface Setting {
  /** For stores and heads. */
  folder: string;
  dataset: string;
  model: string | undefined;
  threads: number;
}

/** Work to repeat. */
export interface Work {
  /** @returns the number of pictures that were processed */
  round: (number: number) => Promise<number>;
  close: () => Promise<void>;
}

const CLIENTS = 4;

/** Prepares each kind of work. */
export const WORK = { embed, 'embed-shared': embedShared, predict, serve } satisfies Record<
  string,
  (setting: Setting) => Promise<Work>
>;

async function embed({ folder, dataset, ...options }: Setting): Promise<Work> {
  const backbone = await loadBackbone(options);
  return {
    round: (number) => embedIntoNewStore(dataset, { backbone, store: join(folder, `${number}`) }),
    close: nothing,
  };
}

async function embedShared({ folder, dataset, ...options }: Setting): Promise<Work> {
  const backbone = await loadBackbone(options);
  const pool = new BackbonePool(backbone);
  return {
    round: (number) => embedIntoNewStore(dataset, { backbone, pool, store: join(folder, `${number}`) }),
    close: () => pool.close(),
  };
}

async function embedIntoNewStore(dataset: string, options: EmbedOptions & { store: string }): Promise<number> {
  const { total } = await embedDataset(dataset, options);
  await rm(options.store, { recursive: true });
  return total;
}

function nothing(): Promise<void> {
  return Promise.resolve();
}

async function predict({ folder, dataset, ...options }: Setting): Promise<Work> {
  const backbone = await loadBackbone(options);
  const { head } = await train(backbone, dataset, join(folder, 'store'));
  const classifier = new Classifier(backbone, head);
  const paths = await readableIn(dataset, classifier);
  return {
    round: async () => {
      for (const path of paths) await classifier.classify(path);
      return paths.length;
    },
    close: nothing,
  };
}

async function serve({ folder, dataset, ...options }: Setting): Promise<Work> {
  const backbone = await loadBackbone(options);
  const [store, file] = [join(folder, 'store'), join(folder, 'head.safetensors')];
  const { head } = await train(backbone, dataset, store);
  await saveHead(file, head);
  const paths = await readableIn(dataset, new Classifier(backbone, head));
  const server = await startServer({ ...options, heads: { head: file }, store, port: 0 });
  const ask = async (path: string) => {
    const response = await fetch(`${server.url}/v1/classify?similar=3`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/octet-stream' },
      body: await readFile(path),
    });
    const answer = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${answer}`);
  };
  return {
    round: async () => {
      const waiting = [...paths];
      const client = async () => {
        for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) await ask(path);
      };
      await Promise.all(Array.from({ length: CLIENTS }, client));
      return paths.length;
    },
    close: () => server.close(),
  };
}

async function train(backbone: Backbone, dataset: string, store: string) {
  await rm(store, { recursive: true, force: true });
  await embedDataset(dataset, { backbone, store });
  return trainFromStore({ store });
}

/** The pictures of a data set that can be classified. */
async function readableIn(dataset: string, classifier: Classifier): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path } of (await openDataset(dataset)).entries()) {
    const isReadable = await classifier.classify(path).then(
      () => true,
      () => false,
    );
    if (isReadable) paths.push(path);
  }
  return paths;
}
