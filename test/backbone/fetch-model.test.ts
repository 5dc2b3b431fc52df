import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Backbone } from '../../src/backbone/backbone.js';
import { cachedCheckpoints, fetchModel, type FetchOptions } from '../../src/backbone/fetch/fetch-model.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { torchvisionWeights, type TorchvisionWeights, type WeightsName } from '../../src/backbone/torchvision.js';
import { FileServer } from '../support/file-server.js';
import { temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const root = await temporaryFolder();
const server = new FileServer();
const address = await server.start();
afterAll(() => server.stop());

const network = smallNetwork();
const digest = createHash('sha256').update(network).digest('hex');
let folder = '';
let made = 0;

beforeEach(async () => {
  folder = join(root, String(made++));
  await mkdir(folder);
  server.content = network;
  server.etag = '"first"';
  server.behaviours = [];
  server.requests.length = 0;
});

/** The first digits of the sha256 of the address that `fetchTo` fetches. */
function urlDigest(): string {
  return createHash('sha256').update(`${address}/net.onnx`).digest('hex').slice(0, 8);
}

function machine(): string {
  return createHash('sha256').update(hostname()).digest('hex').slice(0, 6);
}

function fetchTo(name: string, options: FetchOptions = {}) {
  return fetchModel({ from: `${address}/net.onnx`, out: join(folder, name), retryDelay: 1, ...options });
}

describe('a download', () => {
  it('becomes a backbone that runs, with its card beside it', async () => {
    const progress: [number, number | undefined][] = [];
    const { path, card } = await fetchTo('mine.onnx', { onProgress: (...state) => progress.push(state) });
    expect(progress.at(-1)).toEqual([network.length, network.length]);
    expect(readdirSync(folder).sort()).toEqual(['mine.json', 'mine.onnx']);
    expect(JSON.parse(readFileSync(join(folder, 'mine.json'), 'utf8'))).toEqual(card);
    expect(card).toMatchObject({ featureWidth: 8, classes: 5, pretrained: true, sourceSha256: digest });
    expect(card.sha256).toBe(createHash('sha256').update(readFileSync(path)).digest('hex'));
    expect(card.id).toBe(`network@${card.sha256.slice(0, 12)}`);

    const backbone = await loadBackbone({ model: path });
    const { embedding, logits } = await backbone.run(new Float32Array(2 * 3 * 224 * 224).fill(1), {
      logits: true,
    });
    expect([backbone.id, embedding.length, logits?.length]).toEqual([card.id, 16, 10]);
  });

  it('goes on where the connection broke, without starting over', async () => {
    server.behaviours = [{ cutAfter: 1000 }, { cutAfter: 500 }];
    const notices: string[] = [];
    await fetchTo('mine.onnx', { onNotice: (line) => notices.push(line) });
    expect(server.requests.map(({ range }) => range)).toEqual([undefined, 'bytes=1000-', 'bytes=1500-']);
    expect(notices).toHaveLength(2);
    expect(readdirSync(folder).sort()).toEqual(['mine.json', 'mine.onnx']);
  });

  it('goes on where an interrupted run was, and keeps what came', async () => {
    server.behaviours = [{ stallAfter: 2000 }];
    const controller = new AbortController();
    const interrupted = fetchTo('mine.onnx', {
      signal: controller.signal,
      onProgress: (received) => {
        if (received >= 2000)
          setTimeout(() => {
            controller.abort(new Error('stopped by the user'));
          }, 20);
      },
    });
    await expect(interrupted).rejects.toThrow('stopped by the user');
    expect(existsSync(join(folder, 'mine.onnx'))).toBe(false);
    await fetchTo('mine.onnx');
    expect(server.requests.at(-1)?.range).toBe('bytes=2000-');
    expect(readdirSync(folder).sort()).toEqual(['mine.json', 'mine.onnx']);
  });

  it('goes on where a process was that is no more', async () => {
    // 2²² is beyond the numbers that processes have.
    const left = join(folder, `mine.onnx.${urlDigest()}.${machine()}-4194305-000000.download`);
    await mkdir(left);
    await writeFile(join(left, 'file'), network.subarray(0, 3000));
    await writeFile(join(left, 'file.etag'), server.etag);
    await fetchTo('mine.onnx');
    expect(server.requests.map(({ range }) => range)).toEqual(['bytes=3000-']);
    expect(readdirSync(folder).sort()).toEqual(['mine.json', 'mine.onnx']);
  });

  it('is not disturbed by another one of the same, to the same place', async () => {
    let goOn = (): void => undefined;
    let began = (): void => undefined;
    const [goneOn, begun] = [
      new Promise<void>((resolve) => (goOn = resolve)),
      new Promise<void>((resolve) => (began = resolve)),
    ];
    server.behaviours = [{ stallAfter: 2000, goOn: goneOn }];
    const one = fetchTo('mine.onnx', {
      onProgress: (received) => {
        if (received >= 2000) began();
      },
    });
    await begun;
    const other = await fetchTo('mine.onnx');
    goOn();
    expect((await one).card.sha256).toBe(other.card.sha256);
    expect((await one).card.sourceSha256).toBe(digest);
    expect(server.requests.map(({ range }) => range)).toEqual([undefined, undefined]);
    expect(readdirSync(folder).sort()).toEqual(['mine.json', 'mine.onnx']);
  });

  it('starts over where the file on the server has changed', async () => {
    server.behaviours = [{ cutAfter: 1000 }, { status: 404 }];
    await expect(fetchTo('mine.onnx')).rejects.toThrow(/answered 404/);
    server.content = smallNetwork(2);
    server.etag = '"second"';
    const { card } = await fetchTo('mine.onnx');
    expect(card.sourceSha256).toBe(createHash('sha256').update(smallNetwork(2)).digest('hex'));
  });

  it('is tried again where the server is overloaded, but not where there is nothing', async () => {
    server.behaviours = [{ status: 503 }, { status: 429 }];
    await fetchTo('mine.onnx');
    expect(server.requests).toHaveLength(3);
    server.behaviours = [{ status: 404 }];
    await expect(fetchTo('other.onnx')).rejects.toThrow(/net\.onnx: the server answered 404 Not Found/);
    expect(server.requests).toHaveLength(4);
  });

  it('of a server that cannot be reached fails at once, and says so', async () => {
    const notices: string[] = [];
    const from = (url: string) => fetchTo('mine.onnx', { from: url, onNotice: (line) => notices.push(line) });
    const closed = new FileServer();
    const nowhere = await closed.start();
    await closed.stop();
    await expect(from(`${nowhere}/net.onnx`)).rejects.toThrow(
      /no connection to 127\.0\.0\.1:\d+ \(.*ECONNREFUSED.*\)\. If this machine is offline, .*--from FILE/,
    );
    await expect(from('http://nowhere.invalid/net.onnx')).rejects.toThrow(/no connection to nowhere\.invalid/);
    expect(notices).toEqual([]);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('that fails again and again says how to do without', async () => {
    server.behaviours = Array.from({ length: 5 }, () => ({ status: 500 }));
    await expect(fetchTo('mine.onnx')).rejects.toThrow(/in 5 attempts: the server answered 500.*--from FILE/);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('a digest', () => {
  it('in the name must agree, as torch.hub has it', async () => {
    await fetchTo('good.onnx', { from: `${address}/net-${digest.slice(0, 8)}.onnx` });
    await expect(fetchTo('bad.onnx', { from: `${address}/net-0123abcd.onnx?x=1` })).rejects.toThrow(
      new RegExp(`has the sha256 ${digest} where 0123abcd… is expected`),
    );
    expect(readdirSync(folder).sort()).toEqual(['good.json', 'good.onnx']);
  });

  it('given by the user must agree, and the model that was there stays', async () => {
    await fetchTo('mine.onnx', { sha256: digest.toUpperCase() });
    const before = readFileSync(join(folder, 'mine.onnx'));
    server.content = smallNetwork(3);
    await expect(fetchTo('mine.onnx', { sha256: digest })).rejects.toThrow(/is expected: it is damaged/);
    expect(readFileSync(join(folder, 'mine.onnx')).equals(before)).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(['mine.json', 'mine.onnx']);
  });
});

describe('a source of no use', () => {
  it('is refused, and leaves nothing behind', async () => {
    server.content = Buffer.from('<!DOCTYPE html><html>Not here</html>');
    await expect(fetchTo('page.onnx')).rejects.toThrow(/net\.onnx is not a model\. It is a web page/);
    await expect(fetchTo('none.onnx', { from: join(folder, 'none.pth') })).rejects.toThrow(/none\.pth cannot be read/);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('or an option of no use is refused before anything is fetched', async () => {
    await expect(fetchTo('mine.bin')).rejects.toThrow(/--out is .*mine\.bin; a name that ends in \.onnx/);
    await expect(fetchTo('mine.onnx', { sha256: 'xyz' })).rejects.toThrow(/--sha256 is xyz; 8 to 64 hexadecimal/);
    expect(server.requests).toHaveLength(0);
  });

  it('or a transform of no use is refused, and leaves nothing behind', async () => {
    await expect(fetchTo('mine.onnx', { transform: { resize: 100 } })).rejects.toThrow(
      /resize is 100. It must be a whole number from 224 to 8192. The crop is 224 pixels/,
    );
    await expect(fetchTo('mine.onnx', { transform: { std: [0.2, 0, 0.2] } })).rejects.toThrow(
      /std is 0\.2, 0, 0\.2; three numbers/,
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  it('or a network that torchvision does not have is refused before anything is fetched', async () => {
    await expect(fetchModel({ model: 'resnet99' })).rejects.toThrow(
      /--model is resnet99; one of resnet18, resnet34, resnet50, resnet101, resnet152, .* is expected/,
    );
    await expect(fetchModel({ weights: 'IMAGENET1K_V2' })).rejects.toThrow(/no weights IMAGENET1K_V2 of resnet18/);
    await expect(fetchTo('mine.onnx', { model: 'resnet50' })).rejects.toThrow(/name two sources/);
    expect(server.requests).toHaveLength(0);
  });
});

describe('how a network wants its pictures', () => {
  it('is kept in the model itself, and takes effect', async () => {
    const mean = [0.5, 0.4, 0.3] as const;
    const plain = await fetchTo('plain.onnx');
    const { path, card } = await fetchTo('mine.onnx', { transform: { resize: 232, mean } });
    expect(card.transform).toMatchObject({ resize: 232, crop: 224, mean, std: [0.229, 0.224, 0.225] });
    expect(card.id).not.toBe(plain.card.id);
    await rm(join(folder, 'mine.json'));
    const own = await loadBackbone({ model: path });
    expect(own.transform).toEqual(card.transform);

    // A picture of the mean colour becomes all zeros, of which this network, without biases, makes zeros.
    const pixels = Uint8Array.from({ length: 3 * 224 * 224 }, (_, i) => [127.5, 102, 76.5][i % 3] ?? 0);
    const largest = async (backbone: Backbone) => Math.max(...(await backbone.run(pixels)).embedding.map(Math.abs));
    expect(await largest(own)).toBeLessThan(0.05 * (await largest(await loadBackbone({ model: plain.path }))));
  });
});

describe('checkpoints that others downloaded', () => {
  it('are found where torch.hub and the Hugging Face hub keep them', async () => {
    const torch = join(folder, '.cache', 'torch', 'hub', 'checkpoints', 'resnet18-f37072fd.pth');
    const timm = join(folder, '.cache', 'huggingface', 'hub', 'models--timm--resnet18.tv_in1k', 'snapshots', 'abc');
    await mkdir(join(torch, '..'), { recursive: true });
    await mkdir(timm, { recursive: true });
    await writeFile(torch, '');
    await writeFile(join(timm, 'model.safetensors'), '');
    const found = (environment: Record<string, string>) =>
      cachedCheckpoints(weightsOf('resnet18', 'IMAGENET1K_V1'), environment);
    expect(await found({ HOME: folder })).toEqual([torch, join(timm, 'model.safetensors')]);
    expect(await found({ HOME: '/nowhere', XDG_CACHE_HOME: join(folder, '.cache') })).toHaveLength(2);
    const moved = { HOME: '/nowhere', TORCH_HOME: join(folder, '.cache', 'torch') };
    expect(await found(moved)).toEqual([torch]);
    const hub = { HOME: '/nowhere', HF_HOME: join(folder, '.cache', 'huggingface') };
    expect(await found(hub)).toEqual([join(timm, 'model.safetensors')]);
    expect(await found({ HOME: '/nowhere' })).toEqual([]);
  });

  it('are told apart by network and by weights', async () => {
    const hub = join(folder, 'hub');
    const file = join(hub, 'models--timm--resnet50.tv2_in1k', 'snapshots', 'abc', 'model.safetensors');
    await mkdir(join(file, '..'), { recursive: true });
    await writeFile(file, '');
    const found = (model: string, weights: WeightsName) =>
      cachedCheckpoints(weightsOf(model, weights), { HOME: '/nowhere', HF_HUB_CACHE: hub });
    expect(await found('resnet50', 'IMAGENET1K_V2')).toEqual([file]);
    expect(await found('resnet50', 'IMAGENET1K_V1')).toEqual([]);
    expect(await found('resnet101', 'IMAGENET1K_V2')).toEqual([]);
  });
});

function weightsOf(model: string, weights: WeightsName): TorchvisionWeights {
  const found = torchvisionWeights(model, weights);
  if (!found) throw new Error(`${model} has no ${weights}`);
  return found;
}
