"""Start a ResNet-18 from dictionaries instead of noise: every convolution's filters are the centres of whitened patches.

Coates, Lee and Ng (AISTATS 2011) learn one such layer by spherical k-means; here each layer learns from what the layers before it
make of the pictures, and the first half of the channels of a stage carries the features of the stage before it on, so that the
average pooling at the end sees those of all depths.
"""

import torch
import torch.nn.functional as F


def patches_of(maps, side, count, generator):
    """Random patches [count, channels * side * side] of maps [n, channels, h, w]."""
    n, channels, h, w = maps.shape
    pick = lambda high: torch.randint(high, (count,), generator=generator)
    i, y, x = pick(n), pick(h - side + 1), pick(w - side + 1)
    offsets = torch.arange(side)
    rows, columns = (y[:, None] + offsets)[:, :, None], (x[:, None] + offsets)[:, None, :]
    return maps.permute(0, 2, 3, 1)[i[:, None, None], rows, columns].permute(0, 3, 1, 2).reshape(count, -1)


def centres(patches, count, generator, components=256, rounds=6):
    """Linear filters [count, dimensions]: centres of spherical k-means in the whitened space of the largest components."""
    x = patches - patches.mean(0)
    deviation = x.std(0) + 1e-4
    x = x / deviation
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    values, vectors = values[-components:], vectors[:, -components:]
    whiten = vectors / (values + 0.02 * values.mean()).sqrt()
    z = F.normalize(x @ whiten, dim=1)
    centre = z[torch.randperm(len(z), generator=generator)[:count]]
    for _ in range(rounds):
        owner = (z @ centre.T).argmax(1)
        total = torch.zeros_like(centre).index_add_(0, owner, z)
        lost = total.norm(dim=1) < 1e-6
        total[lost] = z[torch.randint(len(z), (int(lost.sum()),), generator=generator)]
        centre = F.normalize(total, dim=1)
    return centre @ whiten.T / deviation


def fill(conv, norm, maps, generator, threshold, rows=slice(None), samples=12000):
    """Set the filters of these outputs of a convolution, and the normalisation behind it so that few outputs are active.

    The other outputs are nothing at first, but keep their random filters, without which no gradient would ever reach them.
    """
    count = len(conv.weight[rows])
    filters = centres(patches_of(maps, conv.kernel_size[0], samples, generator), count, generator)
    conv.weight.data[rows] = filters.view(count, *conv.weight.shape[1:])
    settle(conv, norm, maps)
    norm.bias.data.zero_()
    norm.weight.data.zero_()
    norm.bias.data[rows] = -threshold
    norm.weight.data[rows] = 1


def settle(conv, norm, maps):
    """Let a normalisation know the means and variances of what comes to it; scale the filters to a variance of 1."""
    out = conv(maps)
    mean, variance = out.mean((0, 2, 3)), out.var((0, 2, 3))
    scale = (variance + 1e-12).rsqrt()
    scale[variance < 1e-10] = 0
    conv.weight.data *= scale[:, None, None, None]
    norm.running_mean.copy_(mean * scale)
    norm.running_var.fill_(1)


def colours(conv):
    """Eight blurred filters of lightness and of colour differences, each with both signs, in the first outputs."""
    axis = torch.arange(7) - 3.0
    blob = torch.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / 8)
    pairs = torch.tensor([[1.0, 1, 1], [1, -1, 0], [0.5, 0.5, -1], [-0.5, 1, -0.5]])
    conv.weight.data[:8] = torch.cat([pairs, -pairs])[:, :, None, None] * blob


@torch.inference_mode()
def start(trunk, pictures, seed=0, threshold=0.0):
    """Fill a torchvision ResNet-18 from normalised pictures [n, 3, h, w]."""
    generator = torch.Generator().manual_seed(seed)
    trunk.eval()
    fill(trunk.conv1, trunk.bn1, pictures, generator, threshold, samples=40000)
    colours(trunk.conv1)
    settle(trunk.conv1, trunk.bn1, pictures)
    trunk.bn1.bias.data[:8] = 0.5
    x = trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(pictures))))
    for stage in (trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4):
        for number, block in enumerate(stage):
            width = block.conv1.out_channels
            if block.downsample:
                carried = block.conv1.in_channels
                new = slice(carried, carried + carried // 2)
                carry(block.downsample, carried)
            else:
                # The second block makes the rest of the new channels; the first stage has none to make.
                new = slice(width * 3 // 4, width) if stage is not trunk.layer1 else None
            if new is None:
                block.bn2.weight.data.zero_()
                block.bn2.bias.data.zero_()
            else:
                fill(block.conv1, block.bn1, x, generator, threshold)
                hidden = block.relu(block.bn1(block.conv1(x)))
                fill(block.conv2, block.bn2, hidden, generator, threshold, rows=new)
            x = block(x)
    trunk.train()


def carry(downsample, carried):
    """Hand the inputs on to the first outputs as they are; the others are nothing at first."""
    conv, norm = downsample
    conv.weight.data[:carried] = torch.eye(carried)[:, :, None, None]
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.data[carried:] = 0
