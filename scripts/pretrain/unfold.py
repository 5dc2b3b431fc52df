"""Go on from a trunk whose BatchNorm is folded into its convolutions and whose weights are rounded: convert.ts, backwards."""

import onnx
import torch
from onnx import numpy_helper
from torch import nn


@torch.inference_mode()
def unfold(trunk, path, pictures):
    """Fill a torchvision ResNet-18 from an int8 .onnx of this project.

    A normalisation takes what its convolution makes of `pictures`, normalised [n, 3, h, w], to mean 0 and variance 1, and its
    weight and bias undo that; so the trunk computes what the file does, when trained on pictures like these as well as after.
    Filters are scaled to the length that they have before any training, since the normalisation makes their lengths nothing but
    a divisor of the learning rate. Outputs that are always 0, which no gradient reaches behind a ReLU, get random filters and a
    little weight.
    """
    values = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in onnx.load(path).graph.initializer}
    modules = dict(trunk.named_modules())
    for name, conv in modules.items():
        if not isinstance(conv, nn.Conv2d):
            continue
        filters, biases = (values[f"{name}.out.{part}"] for part in ("weight", "bias"))
        filters = filters.float() * values[f"{name}.out.weight.scale"][:, None, None, None]
        length = filters.flatten(1).norm(dim=1)
        usual = conv.weight.flatten(1).norm(dim=1).mean()
        some = length > 0
        conv.weight[some] = filters[some] * (usual / length[some])[:, None, None, None]
        norm = modules[norm_of(name)]
        norm.weight.copy_(length / usual)
        norm.bias.copy_(biases * values[f"{name}.out.bias.scale"])

    hooks = [norm.register_forward_pre_hook(settle) for norm in modules.values() if isinstance(norm, nn.BatchNorm2d)]
    trunk.eval()(pictures)
    trunk.train()
    for hook in hooks:
        hook.remove()


def norm_of(conv):
    """The name of the normalisation behind a convolution: bn1 of conv1, downsample.1 of downsample.0."""
    return conv.replace("conv", "bn") if "conv" in conv else conv.replace("downsample.0", "downsample.1")


def settle(norm, inputs):
    """Let a normalisation know the statistics of what comes to it, and do the same as with a mean of 0 and a variance of 1.

    Its weights are lengths, so none is negative."""
    mean, variance = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.bias += norm.weight * mean
    norm.weight *= (variance + norm.eps).sqrt()
    norm.weight[norm.weight < 1e-3] = 0.1
