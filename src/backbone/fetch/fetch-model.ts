import { mkdir, readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { LastlayerError, UsageError } from '../../util/errors.js';
import { fileExists, sha256OfFile } from '../../util/files.js';
import { sha256Of } from '../../util/hash.js';
import { withDefaults } from '../../util/validate.js';
import { probeModel } from '../load.js';
import { type ModelCard, type Provenance, writeModel } from '../model-card.js';
import { type Model, readModel, type TransformChanges } from '../model.js';
import {
  TORCHVISION_LICENCE,
  TORCHVISION_MODELS,
  torchvisionUrl,
  torchvisionWeights,
  type TorchvisionWeights,
  torchvisionWeightsOf,
  type WeightsName,
} from '../torchvision.js';
import { download, type DownloadOptions, PartialDownload } from './download.js';

const DEFAULT_MODEL = 'resnet18';
const UNKNOWN_LICENCE = 'unknown: see the source';

export interface FetchOptions extends DownloadOptions {
  /** A .pth, .safetensors or .onnx file, or its http(s) address. @default torchvision's weights of `model` */
  from?: string | undefined;
  /** One of torchvision's ResNets, e.g. `resnet50`. @default 'resnet18' */
  model?: string | undefined;
  /** Which of its weights. @default 'IMAGENET1K_V1' */
  weights?: WeightsName | undefined;
  /** Where to write the model. @default named after the model, e.g. `models/resnet18.onnx` */
  out?: string | undefined;
  /** Tensor or operator whose result is the embedding. @default the pooled features */
  features?: string | undefined;
  /** How the model wants its pictures, where that differs from torchvision's V1 weights. */
  transform?: TransformChanges | undefined;
  /** The sha256 that the source must have, or its first digits (at least 8). */
  sha256?: string | undefined;
}

export interface FetchedModel {
  path: string;
  card: ModelCard;
}

/**
 * Gets a model, checks it, and writes it as a backbone with its model card. Without `from`, takes torchvision's weights from
 * the cache of torch.hub or the Hugging Face hub, or downloads them.
 *
 * The SHA-256 must match `sha256`, or the digits in the file's name (`-[0-9a-f]{8,}.`, torch.hub's convention). The model is
 * written only after it has run on a trial batch.
 * @throws {LastlayerError} if it cannot be had, has another digest, or is unusable
 * @throws {UsageError} if an option makes no sense
 */
export async function fetchModel(options: FetchOptions = {}): Promise<FetchedModel> {
  const { from, sha256 } = options;
  const pretrained = pretrainedOf(options);
  const out = resolve(options.out ?? join('models', `${outputName(pretrained)}.onnx`));
  if (!out.endsWith('.onnx')) throw new UsageError(`--out is ${out}; a name that ends in .onnx is expected.`);
  if (sha256 !== undefined && !/^[0-9a-f]{8,64}$/i.test(sha256)) {
    throw new UsageError(`--sha256 is ${sha256}; 8 to 64 hexadecimal digits are expected.`);
  }
  await mkdir(resolve(out, '..'), { recursive: true });
  if (from === undefined) return fetchPretrained(pretrained, out, options);
  if (/^https?:\/\//i.test(from)) return fetchFrom(from, out, options);
  const path = resolve(from);
  return write(out, await readSource(path, path, options));
}

function pretrainedOf({ from, model, weights }: FetchOptions): TorchvisionWeights {
  if (from !== undefined && (model ?? weights) !== undefined) {
    throw new UsageError(`--from ${from} and --${model ? 'model' : 'weights'} name two sources; leave one out.`);
  }
  const name = model ?? DEFAULT_MODEL;
  const found = torchvisionWeights(name, weights ?? 'IMAGENET1K_V1');
  if (found) return found;
  throw new UsageError(
    TORCHVISION_MODELS.includes(name)
      ? `torchvision has no weights ${weights ?? ''} of ${name}; leave --weights out.`
      : `--model is ${name}; one of ${TORCHVISION_MODELS.join(', ')} is expected. Use --from for another model.`,
  );
}

/** A model's two kinds of weights get different names. */
function outputName({ model, weights }: TorchvisionWeights): string {
  return weights === 'IMAGENET1K_V1' ? model : `${model}-v2`;
}

async function fetchPretrained(
  pretrained: TorchvisionWeights,
  out: string,
  options: FetchOptions,
): Promise<FetchedModel> {
  const { resize } = pretrained;
  const own = { ...options, transform: withDefaults(options.transform ?? {}, { resize }) };
  for (const path of await cachedCheckpoints(pretrained)) {
    let found: Source;
    try {
      options.onNotice?.(`Found the checkpoint at ${path}.`);
      found = await readSource(path, path, own, TORCHVISION_LICENCE);
    } catch (error) {
      if (!(error instanceof LastlayerError) || error instanceof UsageError) throw error;
      options.onNotice?.(`It is unusable: ${error.message}`);
      continue;
    }
    return write(out, found);
  }
  return fetchFrom(torchvisionUrl(pretrained), out, own);
}

async function fetchFrom(url: string, out: string, options: FetchOptions): Promise<FetchedModel> {
  const partial = await PartialDownload.claim(`${out}.${sha256Of(url).slice(0, 8)}`);
  try {
    await download(url, partial.path, options);
    const found = await readSource(partial.path, url, options).catch(async (error: unknown) => {
      await partial.remove();
      throw error;
    });
    const written = await write(out, found);
    await partial.remove();
    return written;
  } finally {
    // If the download broke off, or the model cannot be written, the next run resumes from here.
    await partial.leave();
  }
}

/** A model that ran on a trial batch, and where it came from. */
interface Source {
  model: Model & { width: number };
  provenance: Provenance;
}

async function write(out: string, { model, provenance }: Source): Promise<FetchedModel> {
  return { path: out, card: await writeModel(out, model, provenance) };
}

async function readSource(
  path: string,
  source: string,
  { sha256: expected, features, transform, onNotice }: FetchOptions,
  licence?: string,
): Promise<Source> {
  const sourceSha256 = await sha256OfFile(path);
  const wanted = expected?.toLowerCase() ?? digestInName(source);
  if (wanted !== undefined && !sourceSha256.startsWith(wanted)) {
    throw new LastlayerError(
      `${source} has the sha256 ${sourceSha256} where ${wanted}… is expected: it is damaged or not the right file. ` +
        `Get it again.`,
    );
  }
  const known = torchvisionWeightsOf(sourceSha256) && TORCHVISION_LICENCE;
  const model = await readModel(path, { source, features, transform, onNotice });
  const { width, classes } = await probeModel(model, source);
  return {
    model: { ...model, width, classes },
    provenance: { source, sourceSha256, licence: licence ?? known ?? UNKNOWN_LICENCE, features },
  };
}

/** By torch.hub's convention, the first digits of the sha256 come before the ending. */
function digestInName(source: string): string | undefined {
  const [path = source] = source.split(/[?#]/);
  return /-([0-9a-f]{8,64})\.[a-z]+$/.exec(basename(path))?.[1];
}

/**
 * Copies of a checkpoint that PyTorch or timm have already downloaded: torch.hub's (torch/hub.py:
 * `$TORCH_HOME/hub/checkpoints`), and timm's in the Hugging Face cache, such as timm/resnet50.tv2_in1k for the V2 weights
 * (huggingface_hub/constants.py: `$HF_HUB_CACHE`, `$HF_HOME/hub`; timm/models/resnet.py).
 */
export async function cachedCheckpoints(
  { model, weights, file }: TorchvisionWeights,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<string[]> {
  const cache = environment.XDG_CACHE_HOME ?? join(environment.HOME ?? homedir(), '.cache');
  const torch = environment.TORCH_HOME ?? join(cache, 'torch');
  const hub =
    environment.HF_HUB_CACHE ??
    environment.HUGGINGFACE_HUB_CACHE ??
    join(environment.HF_HOME ?? join(cache, 'huggingface'), 'hub');
  const recipe = weights === 'IMAGENET1K_V1' ? 'tv_in1k' : 'tv2_in1k';
  const snapshots = join(hub, `models--timm--${model}.${recipe}`, 'snapshots');
  const revisions = await readdir(snapshots).catch(() => []);
  const candidates = [
    join(torch, 'hub', 'checkpoints', file),
    ...revisions.sort().map((revision) => join(snapshots, revision, 'model.safetensors')),
  ];
  const found = await Promise.all(candidates.map(fileExists));
  return candidates.filter((_, i) => found[i]);
}
