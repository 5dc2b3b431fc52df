import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { LastlayerError, messageOf, UsageError } from '../../errors.js';
import { writeModel, type ModelCard } from '../model-card.js';
import { readModel } from '../model.js';
import { probeModel } from '../probe.js';
import { cachedCheckpoints } from './caches.js';
import { download, type DownloadOptions } from './download.js';

/** torchvision's ResNet18_Weights.IMAGENET1K_V1 (torchvision/models/resnet.py). */
export const RESNET18_URL = 'https://download.pytorch.org/models/resnet18-f37072fd.pth';
const RESNET18_LICENCE = 'BSD-3-Clause (torchvision)';

export interface FetchOptions extends DownloadOptions {
  /** A file or an http(s) address: .pth, .safetensors or .onnx. Default: torchvision's ImageNet ResNet-18. */
  from?: string;
  /** Where to write the model. Default: `models/resnet18.onnx`. */
  out?: string;
  /** The sha256 that the source must have, or its first digits (at least 8). */
  sha256?: string;
}

export interface FetchedModel {
  path: string;
  card: ModelCard;
}

/**
 * Obtains a network, checks it and writes it as a trunk, with its model card beside it. Where nothing is named,
 * torchvision's ImageNet ResNet-18 is taken from the cache of torch.hub or the Hugging Face hub, or downloaded.
 *
 * A digest in the file's name (`-[0-9a-f]{8,}.`, as torch.hub checks it) or in `sha256` must agree.
 * The model is written to a temporary name and renamed, after it ran on a trial batch.
 * @throws {LastlayerError} where it cannot be had, has another digest, or is no usable network
 */
export async function fetchModel(options: FetchOptions = {}): Promise<FetchedModel> {
  const out = resolve(options.out ?? join('models', 'resnet18.onnx'));
  if (!out.endsWith('.onnx')) throw new UsageError(`--out is ${out}; a name that ends in .onnx is expected.`);
  if (options.sha256 !== undefined && !/^[0-9a-f]{8,64}$/i.test(options.sha256)) {
    throw new UsageError(`--sha256 is ${options.sha256}; 8 to 64 hexadecimal digits are expected.`);
  }
  await mkdir(resolve(out, '..'), { recursive: true });
  const { from } = options;
  if (from === undefined) return fetchResNet18(out, options);
  if (/^https?:\/\//i.test(from)) return fetchFrom(from, out, 'unknown: see the source', options);
  return convert(resolve(from), out, { source: resolve(from), licence: 'unknown: see the source' }, options);
}

async function fetchResNet18(out: string, options: FetchOptions): Promise<FetchedModel> {
  for (const path of await cachedCheckpoints(basename(RESNET18_URL))) {
    try {
      options.onNotice?.(`Found the checkpoint at ${path}.`);
      return await convert(path, out, { source: path, licence: RESNET18_LICENCE }, options);
    } catch (error) {
      if (!(error instanceof LastlayerError)) throw error;
      options.onNotice?.(`It is of no use: ${error.message}`);
    }
  }
  return fetchFrom(RESNET18_URL, out, RESNET18_LICENCE, options);
}

async function fetchFrom(
  url: string,
  out: string,
  licence: string,
  options: FetchOptions,
): Promise<FetchedModel> {
  const part = `${out}.${createHash('sha256').update(url).digest('hex').slice(0, 8)}.part`;
  await download(url, part, options);
  try {
    return await convert(part, out, { source: url, licence }, options);
  } finally {
    await rm(part, { force: true });
  }
}

async function convert(
  path: string,
  out: string,
  provenance: { source: string; licence: string },
  { sha256: expected }: FetchOptions,
): Promise<FetchedModel> {
  const { source } = provenance;
  const sourceSha256 = await sha256Of(path);
  const wanted = expected?.toLowerCase() ?? digestInName(source);
  if (wanted !== undefined && !sourceSha256.startsWith(wanted)) {
    throw new LastlayerError(
      `${source} has the sha256 ${sourceSha256} where ${wanted}… is expected: it is damaged or not the right file. ` +
        `Get it again.`,
    );
  }
  const model = await readModel(path, source);
  const { width, classes } = await probeModel(model, source);
  const card = await writeModel(out, { ...model, width, classes }, { ...provenance, sourceSha256 });
  return { path: out, card };
}

/** torch.hub's convention: the first digits of the sha256 stand before the ending. */
function digestInName(source: string): string | undefined {
  const [path = source] = source.split(/[?#]/);
  return /-([0-9a-f]{8,64})\.[a-z]+$/.exec(basename(path))?.[1];
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(path), hash);
  } catch (error) {
    throw new LastlayerError(`The model ${path} cannot be read: ${messageOf(error)}.`);
  }
  return hash.digest('hex');
}
