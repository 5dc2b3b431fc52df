import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileExists } from '../file-exists.js';

type Environment = Record<string, string | undefined>;

/**
 * Checkpoints of torchvision's ImageNet ResNet-18 that PyTorch or timm have downloaded already: torch.hub's file
 * (torch/hub.py: `$TORCH_HOME/hub/checkpoints`) and the Hugging Face hub's copies of timm/resnet18.tv_in1k
 * (huggingface_hub/constants.py: `$HF_HUB_CACHE`, `$HF_HOME/hub`).
 * @param fileName name of torch.hub's file
 */
export async function cachedCheckpoints(
  fileName: string,
  environment: Environment = process.env,
): Promise<string[]> {
  const cache = environment.XDG_CACHE_HOME ?? join(environment.HOME ?? homedir(), '.cache');
  const torch = environment.TORCH_HOME ?? join(cache, 'torch');
  const hub =
    environment.HF_HUB_CACHE ??
    environment.HUGGINGFACE_HUB_CACHE ??
    join(environment.HF_HOME ?? join(cache, 'huggingface'), 'hub');
  const snapshots = join(hub, 'models--timm--resnet18.tv_in1k', 'snapshots');
  const revisions = await readdir(snapshots).catch(() => []);
  const candidates = [
    join(torch, 'hub', 'checkpoints', fileName),
    ...revisions.sort().map((revision) => join(snapshots, revision, 'model.safetensors')),
  ];
  const found = await Promise.all(candidates.map(fileExists));
  return candidates.filter((_, i) => found[i]);
}
