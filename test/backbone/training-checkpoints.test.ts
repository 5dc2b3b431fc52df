import { join } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { temporaryFolder } from '../support/files.js';
import { describeWithPython, runPython } from '../support/python.js';

/** Writes checkpoints as training scripts do, and what PyTorch makes of a picture with each of them. */
const PROGRAM = `
import argparse, collections, json, numpy, torch, torchvision
torch.manual_seed(0)
network = torchvision.models.resnet18(num_classes=3).eval()
for module in network.modules():
    if isinstance(module, torch.nn.BatchNorm2d):
        module.running_mean.normal_(0, 0.1); module.running_var.uniform_(0.5, 2)
weights = network.state_dict()
picture = torch.sin(0.01 * torch.arange(3 * 224 * 224, dtype=torch.float64)).float().reshape(1, 3, 224, 224)
beside = {
    'args': argparse.Namespace(lr=0.1, device=torch.device('cpu'), dtype=torch.float16),
    'counter': collections.Counter([1, 2]), 'classes': {'ant', 'bee'}, 'best': numpy.float64(0.9), 'names': numpy.arange(3),
    'path': __import__('pathlib').PurePosixPath('/data'),
    'optimizer': torch.optim.SGD([network.fc.weight], lr=0.1, momentum=0.9).state_dict(), 'network_itself': network,
}
cast = lambda dtype: {name: x.to(dtype) if x.is_floating_point() else x for name, x in weights.items()}
files = {
    'half.pth': (cast(torch.float16), {}),
    'bfloat16.pth': (cast(torch.bfloat16), {}),
    'run.pth': ({'model': {'module.' + name: x for name, x in weights.items()}, **beside}, {}),
    'run-4.pth': ({'state_dict': weights, **beside}, {'pickle_protocol': 4}),
    'run-legacy.pth': ({'net': weights, **{k: x for k, x in beside.items() if k != 'network_itself'}}, {'_use_new_zipfile_serialization': False}),
}
found = {}
for name, (content, options) in files.items():
    torch.save(content, name, **options)
    network.load_state_dict(content if name in ('half.pth', 'bfloat16.pth') else weights)
    trunk = torch.nn.Sequential(*list(network.children())[:-1])
    with torch.no_grad():
        found[name] = trunk(picture).flatten().tolist()
print(json.dumps(found))
`;

const folder = await temporaryFolder();

describeWithPython('a checkpoint that PyTorch wrote', () => {
  let expected: Record<string, number[]>;

  beforeAll(async () => {
    expected = (await runPython(PROGRAM, folder)) as typeof expected;
  });

  it.each([
    ['in half precision', 'half.pth', []],
    ['in bfloat16', 'bfloat16.pth', []],
    ['of a run, with much beside the weights', 'run.pth', [/are in its model\.$/, /have module\. before their names/]],
    ['in the pickle protocol 4', 'run-4.pth', [/are in its state_dict\.$/]],
    ['in the legacy format', 'run-legacy.pth', [/are in its net\.$/]],
  ])('gives PyTorch’s embedding: %s', async (_, file, notices) => {
    const lines: string[] = [];
    const path = join(folder, file);
    const backbone = await loadBackbone({ model: path, onNotice: (line) => lines.push(line) });
    expect(lines).toEqual(notices.map((notice) => expect.stringMatching(notice) as string));
    const picture = Float32Array.from({ length: 3 * 224 ** 2 }, (_, i) => Math.sin(0.01 * i));
    const { embedding } = await backbone.run(picture);
    const largest = Math.max(...(expected[file] ?? []));
    const differences = (expected[file] ?? []).map((value, i) => Math.abs(value - (embedding[i] ?? NaN)));
    expect(differences).toHaveLength(512);
    expect(Math.max(...differences)).toBeLessThan(1e-5 * largest);
  });
});
