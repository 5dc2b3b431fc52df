import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { TORCHVISION_MODELS, torchvisionUrl, torchvisionWeights, WEIGHTS } from '../../src/backbone/torchvision.js';
import { temporaryFolder } from '../support/files.js';

/** A Python environment with torch and torchvision. */
const { PEERS } = process.env;
const describeWithPeers = PEERS === undefined ? describe.skip : describe;

const folder = await temporaryFolder();

const LIST = `
import json
from torchvision import models
found = []
for name in models.list_models(include=['resnet*', 'wide_resnet*', 'resnext*'], module=models):
    for weights in models.get_model_weights(name):
        resize = weights.transforms.keywords.get('resize_size', 256)
        found.append([name, weights.name, weights.url, resize])
print(json.dumps(sorted(found)))
`;

/** A network with random weights and BatchNorm statistics, and what PyTorch makes of two pictures. */
const RUN = `
import sys, torch
from torchvision import models
name, folder = sys.argv[1:]
torch.manual_seed(7)
network = getattr(models, name)(weights=None).eval()
with torch.no_grad():
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.uniform_(0.2, 0.7)
            module.bias.normal_(0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    torch.save(network.state_dict(), f'{folder}/{name}.pth')
    pictures = torch.randn(2, 3, 224, 224)
    logits = network(pictures)
    network.fc = torch.nn.Identity()
    for key, tensor in {'pictures': pictures, 'logits': logits, 'embedding': network(pictures)}.items():
        tensor.numpy().tofile(f'{folder}/{name}.{key}.f32')
`;

describeWithPeers('beside torchvision (PEERS)', () => {
  it('the list of weights is the same, with the transforms’ sizes', () => {
    const own = TORCHVISION_MODELS.flatMap((model) =>
      WEIGHTS.flatMap((name) => {
        const weights = torchvisionWeights(model, name);
        return weights ? [[model, name, torchvisionUrl(weights), weights.resize]] : [];
      }),
    );
    expect(own.map((entry) => entry.join()).sort()).toEqual(
      (JSON.parse(python(LIST)) as unknown[][]).map((entry) => entry.join()).sort(),
    );
  });

  it.each(['resnet34', 'resnet50', 'resnet152', 'wide_resnet50_2', 'resnext50_32x4d'])(
    '%s is known by its tensors, and gives the same embeddings and logits',
    async (name) => {
      python(RUN, name, folder);
      const backbone = await loadBackbone({ model: join(folder, `${name}.pth`) });
      expect(backbone).toMatchObject({ name, width: name === 'resnet34' ? 512 : 2048 });
      const { embedding, logits } = await backbone.run(floats(name, 'pictures'), { logits: true });
      expectClose(embedding, floats(name, 'embedding'));
      expectClose(logits ?? new Float32Array(), floats(name, 'logits'));
      await backbone.release();
    },
  );
});

function python(code: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(join(PEERS ?? '', 'bin', 'python'), ['-c', code, ...args], {
    encoding: 'utf8',
  });
  expect({ status, stderr }).toMatchObject({ status: 0 });
  return stdout;
}

function floats(name: string, key: string): Float32Array {
  const bytes = readFileSync(join(folder, `${name}.${key}.f32`));
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4).slice();
}

/** max |Δ| ≤ 1e-5 · max |expected| */
function expectClose(found: Float32Array, expected: Float32Array): void {
  expect(found.length).toBe(expected.length);
  const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const differences = expected.map((value, i) => Math.abs(value - (found[i] ?? NaN)));
  expect(largest).toBeGreaterThan(0);
  expect(Math.max(...differences)).toBeLessThanOrEqual(1e-5 * largest);
}
