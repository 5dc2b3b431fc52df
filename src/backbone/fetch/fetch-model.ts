import { mkdir, readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, join, parse, resolve } from 'node:path';
import { LastlayerError, messageOf, UsageError } from '../../util/errors.js';
import { fileExists, sha256OfFile } from '../../util/files.js';
import { sha256Of } from '../../util/hash.js';
import { withDefaults } from '../../util/validate.js';
import { probeModel } from '../load.js';
import { type Provenance, readCard } from '../model-card.js';
import { type Model, NAMELESS, readModel, type TransformChanges } from '../model.js';
import {
  checkDestination,
  DEFAULT_NAME,
  type Destination,
  modelsHome,
  placeModel,
  type WrittenModel,
} from '../models.js';
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

const UNKNOWN_LICENCE = 'unknown: see the source';

/**
 * The model is written to the folder of models. Its name there is by default that of torchvision's weights (`resnet50`, or
 * `resnet50-v2` for the newer ones), else the model's own (`resnet34` for such a checkpoint), else that of its file.
 */
export interface FetchOptions extends DownloadOptions, Destination {
  /** A .pth, .safetensors or .onnx file, or its http(s) address. @default torchvision's weights of `model` */
  from?: string | undefined;
  /** One of torchvision's ResNets, e.g. `resnet50`. @default 'resnet18' */
  model?: string | undefined;
  /** Which of its weights. @default 'IMAGENET1K_V1' */
  weights?: WeightsName | undefined;
  /** Tensor or operator whose result is the embedding. @default the pooled features */
  features?: string | undefined;
  /** How the model wants its pictures, where that differs from torchvision's V1 weights. */
  transform?: TransformChanges | undefined;
  /** The sha256 that the source must have, or its first digits (at least 8). */
  sha256?: string | undefined;
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
export async function fetchModel(options: FetchOptions = {}): Promise<WrittenModel> {
  const { from, sha256 } = options;
  const pretrained = pretrainedOf(options);
  checkDestination(options);
  if (sha256 !== undefined && !/^[0-9a-f]{8,64}$/i.test(sha256)) {
    throw new UsageError(`--sha256 is ${sha256}; 8 to 64 hexadecimal digits are expected.`);
  }
  if (from === undefined) return fetchPretrained(pretrained, options);
  if (/^https?:\/\//i.test(from)) return fetchFrom(from, options);
  const path = resolve(from);
  return place(await readSource(path, path, options), options);
}

function pretrainedOf({ from, model, weights }: FetchOptions): TorchvisionWeights {
  if (from !== undefined && (model ?? weights) !== undefined) {
    throw new UsageError(`--from ${from} and --${model ? 'model' : 'weights'} name two sources; leave one out.`);
  }
  const name = model ?? DEFAULT_NAME;
  const found = torchvisionWeights(name, weights ?? 'IMAGENET1K_V1');
  if (found) return found;
  throw new UsageError(
    TORCHVISION_MODELS.includes(name)
      ? `torchvision has no weights ${weights ?? ''} of ${name}; leave --weights out.`
      : `--model is ${name}; one of ${TORCHVISION_MODELS.join(', ')} is expected. Use --from for another model.`,
  );
}

/** A model's two kinds of weights get different names. */
function nameOf({ model, weights }: TorchvisionWeights): string {
  return weights === 'IMAGENET1K_V1' ? model : `${model}-v2`;
}

async function fetchPretrained(pretrained: TorchvisionWeights, options: FetchOptions): Promise<WrittenModel> {
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
    return place(found, own);
  }
  return fetchFrom(torchvisionUrl(pretrained), own);
}

async function fetchFrom(url: string, options: FetchOptions): Promise<WrittenModel> {
  const beside = resolve(options.out ?? join(options.modelsDir ?? modelsHome(), 'model'));
  await makeFolder(resolve(beside, '..'));
  const partial = await PartialDownload.claim(`${beside}.${sha256Of(url).slice(0, 8)}`);
  try {
    await download(url, partial.path, options);
    const found = await readSource(partial.path, url, options).catch(async (error: unknown) => {
      await partial.remove();
      throw error;
    });
    const written = await place(found, options);
    await partial.remove();
    return written;
  } finally {
    // If the download broke off, or the model cannot be written, the next run resumes from here.
    await partial.leave();
  }
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (error) {
    throw new LastlayerError(
      `The folder ${folder} cannot be made: ${messageOf(error)}. Name another place with --out or $LASTLAYER_HOME.`,
    );
  }
}

/** A model that ran on a trial batch, and where it came from. */
interface Source {
  model: Model & { width: number };
  provenance: Provenance;
  /** What to call it. */
  name: string;
}

async function place({ model, provenance, name }: Source, options: FetchOptions): Promise<WrittenModel> {
  return placeModel(model, provenance, options, name);
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
  const known = torchvisionWeightsOf(sourceSha256);
  const model = await readModel(path, { source, features, transform, onNotice });
  const { width, classes } = await probeModel(model, source);
  // A model of lastlayer's own, from another folder or machine, keeps what its card says of its origin.
  const card = await readCard(path);
  const own = card?.sha256 === model.sha256 ? card : undefined;
  return {
    model: { ...model, width, classes },
    provenance: {
      source: own?.source ?? source,
      sourceSha256: own ? (own.sourceSha256 ?? undefined) : sourceSha256,
      licence: own?.licence ?? licence ?? (known ? TORCHVISION_LICENCE : UNKNOWN_LICENCE),
      features: own?.features ?? features,
    },
    name: known ? nameOf(known) : model.name === NAMELESS ? nameOfFile(source) : model.name,
  };
}

/** `resnet34-b627a593.pth` is resnet34. */
function nameOfFile(source: string): string {
  return parse(withoutQuery(source)).name.replace(/-[0-9a-f]{8,64}$/, '');
}

function withoutQuery(source: string): string {
  return source.split(/[?#]/)[0] ?? source;
}

/** By torch.hub's convention, the first digits of the sha256 come before the ending. */
function digestInName(source: string): string | undefined {
  return /-([0-9a-f]{8,64})\.[a-z]+$/.exec(basename(withoutQuery(source)))?.[1];
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
