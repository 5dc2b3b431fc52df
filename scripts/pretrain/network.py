"""ResNet-18 with the heads that it is trained by, and their losses."""

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18

from augment import COLOURS


class Pretrainer(nn.Module):
    """The trunk and the heads on its 512 features: three classifiers behind one hidden layer, a projection, and colours.

    A hidden layer between features and labels keeps the features more general (Wang et al., CVPR 2022). The colours have
    none, so that a linear head on the features can tell them.
    """

    def __init__(self, textures=256, shapes=256, width=512):
        super().__init__()
        self.trunk = resnet18(zero_init_residual=True)
        self.trunk.fc = nn.Identity()
        self.hidden = nn.Sequential(nn.Linear(width, 1024), nn.BatchNorm1d(1024), nn.ReLU(inplace=True))
        self.classifiers = nn.ModuleList(nn.Linear(1024, n) for n in (shapes, textures, textures))
        self.projection = nn.Sequential(
            nn.Linear(width, 1024, bias=False), nn.BatchNorm1d(1024), nn.ReLU(inplace=True), nn.Linear(1024, 128)
        )
        self.colours = nn.Linear(width, COLOURS)

    def forward(self, x):
        """Logits of shape, texture and background, the projection [n, 128] of length 1, and logits of the colours [n, COLOURS]."""
        features = self.trunk(x)
        hidden = self.hidden(features)
        projection = F.normalize(self.projection(features).float(), dim=1)
        return [classifier(hidden) for classifier in self.classifiers], projection, self.colours(features)


def label_loss(logits, labels):
    """Mean cross-entropy over the three labels; -1 is no label."""
    losses = [F.cross_entropy(l.float(), labels[:, i].long(), ignore_index=-1) for i, l in enumerate(logits)]
    return sum(losses) / len(losses)


def instance_loss(projection, memory, temperature=0.2):
    """InfoNCE (SimCLR's NT-Xent): rows i and i + n/2 are two crops of one scene, all others are negatives, as are the rows of the
    memory, projections of earlier steps [k, 128] (Wang et al., CVPR 2020)."""
    similarity = projection @ torch.cat([projection, memory]).T / temperature
    similarity.fill_diagonal_(float("-inf"))
    half = len(projection) // 2
    partner = torch.arange(len(projection), device=projection.device).roll(half)
    return F.cross_entropy(similarity, partner)


def colour_loss(logits, shares):
    """Kullback-Leibler divergence of the colours that are told from those that a crop has, [n, COLOURS] each."""
    return F.kl_div(F.log_softmax(logits.float(), dim=1), shares, reduction="batchmean")
