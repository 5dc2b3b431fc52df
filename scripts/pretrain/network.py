"""ResNet-18 with its BatchNorm folded into the convolutions, in parts that can be trained one by one."""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from torchvision.models import resnet18


class Convolution(nn.Conv2d):
    """A convolution in the number format of its input; the parameters stay float32."""

    def forward(self, x):
        return F.conv2d(x, self.weight.to(x.dtype), self.bias.to(x.dtype), self.stride, self.padding)


class Stem(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = Convolution(3, 64, 7, 2, 3)

    def forward(self, x):
        return self.conv1(x)

    def after(self, z):
        """What the next part gets: [n, 64, h / 4, w / 4] of a picture [n, 3, h, w]."""
        return F.max_pool2d(F.relu(z), 3, 2, 1)


class Block(nn.Module):
    """A residual block up to the ReLU at its end."""

    def __init__(self, inputs, outputs):
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = Convolution(inputs, outputs, 3, stride, 1)
        self.conv2 = Convolution(outputs, outputs, 3, 1, 1)
        self.shortcut = Convolution(inputs, outputs, 1, stride) if stride == 2 else nn.Identity()

    def forward(self, x):
        return self.conv2(F.relu(self.conv1(x))) + self.shortcut(x)

    def after(self, z):
        return F.relu(z)


WIDTHS = (64, 64, 64, 128, 128, 256, 256, 512, 512)
NAMES = ("stem", *(f"layer{stage}.{number}" for stage in (1, 2, 3, 4) for number in (0, 1)))


class Network(nn.Module):
    """The stem and eight blocks. `part.after(part(x))` is what the part after it gets."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([Stem(), *(Block(*widths) for widths in zip(WIDTHS, WIDTHS[1:]))])
        self.to(memory_format=torch.channels_last)

    def forward(self, x):
        """Every part's output before its ReLU; the features are `pooled` of the last."""
        outputs = []
        for part in self.parts:
            outputs.append(part(x))
            x = part.after(outputs[-1])
        return outputs

    def torchvision_state(self):
        """The weights as a state_dict of torchvision's resnet18 without its fc; each BatchNorm only adds the bias."""
        trunk = resnet18()
        trunk.fc = nn.Identity()
        for name, conv, norm in pairs(self):
            values = trunk.get_submodule(norm)
            trunk.get_submodule(name).weight.data.copy_(conv.weight.data)
            values.bias.data.copy_(conv.bias.data)
            values.running_var.fill_(1 - values.eps)
        return {name: value.contiguous() for name, value in trunk.state_dict().items()}


def pairs(network):
    """Each convolution with torchvision's names of it and of the normalisation behind it."""
    yield "conv1", network.parts[0].conv1, "bn1"
    for name, block in zip(NAMES[1:], network.parts[1:]):
        yield f"{name}.conv1", block.conv1, f"{name}.bn1"
        yield f"{name}.conv2", block.conv2, f"{name}.bn2"
        if not isinstance(block.shortcut, nn.Identity):
            yield f"{name}.downsample.0", block.shortcut, f"{name}.downsample.1"


def pooled(last):
    """Features [n, 512] of the last part's output."""
    return F.relu(last.float()).mean((2, 3))


class Teacher:
    """A torchvision ResNet-18 from a .pth or .safetensors file, folded: the network, and its classifier of the pooled features."""

    def __init__(self, path):
        state = load_file(path) if path.endswith(".safetensors") else torch.load(path, weights_only=True)
        values = {name: value.float() for name, value in state.items()}
        self.network = Network().requires_grad_(False)
        for name, conv, norm in pairs(self.network):
            weight, bias, mean, variance = (values[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
            scale = weight / (variance + 1e-5).sqrt()
            conv.weight.copy_(values[f"{name}.weight"] * scale[:, None, None, None])
            conv.bias.copy_(bias - mean * scale)
        self.weight, self.bias = values["fc.weight"], values["fc.bias"]

    def logits(self, features):
        return F.linear(features, self.weight, self.bias)
