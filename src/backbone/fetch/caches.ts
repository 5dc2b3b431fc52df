import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileExists } from '../file-exists.js';
import type { TorchvisionWeights } from '../torchvision.js';

type Environment = Record<string, string | undefined>;

/**
 * Copies of a checkpoint that PyTorch or timm have downloaded already: torch.hub's file (torch/hub.py:
 * `$TORCH_HOME/hub/checkpoints`) and the Hugging Face hub's copies of timm's, such as timm/resnet50.tv2_in1k for the
 * second weights (huggingface_hub/constants.py: `$HF_HUB_CACHE`, `$HF_HOME/hub`; timm/models/resnet.py).
 */
export async function cachedCheckpoints(
  { model, weights, file }: TorchvisionWeights,
  environment: Environment = process.env,
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
