"""Compare trunks on drawn pictures that they never saw, by linear probes on the features at 224 x 224.

    python draw.py --out held-out --count 400 --size 256 --seed 99 --classes 16
    python probe.py --pictures held-out --folder ../../test/fixtures/examples/train untrained one.pth two.pth

Tells the backgrounds of scenes of other classes apart, and the pictures of class folders. Designs are chosen by this, so that
the real data sets serve for the last measurement alone.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torchvision.models import resnet18
from torchvision.transforms import functional

from augment import middle, normalise


def trunk_of(path):
    """The trunk of a state_dict, or one as it is before any training."""
    torch.manual_seed(0)
    trunk = resnet18()
    trunk.fc = torch.nn.Identity()
    if path != "untrained":
        trunk.load_state_dict(torch.load(path, weights_only=True))
    return trunk.eval().to(memory_format=torch.channels_last)


@torch.inference_mode()
def features_of(trunk, pictures):
    """Features [n, 512] of the middle 224 x 224 of bytes [n, 256, 256, 3]."""
    parts = np.array_split(np.arange(len(pictures)), max(1, len(pictures) // 64))
    return torch.cat([trunk(normalise(torch.from_numpy(middle(pictures[rows], 224)))) for rows in parts]).numpy()


def read_folder(folder):
    """Pictures [n, 256, 256, 3] and class names of a folder of class folders."""
    paths = sorted(path for path in Path(folder).glob("*/*") if path.is_file())
    pictures = [functional.center_crop(functional.resize(Image.open(p).convert("RGB"), 256), 256) for p in paths]
    return np.stack([np.array(picture) for picture in pictures]), np.array([path.parent.name for path in paths])


def accuracy(features, labels):
    """Mean and deviation over eight splits, half to train and half to judge."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=200))
    scores = cross_val_score(model, features, labels, cv=StratifiedShuffleSplit(8, train_size=0.5, random_state=0))
    return f"{scores.mean():.3f} +- {scores.std():.3f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", required=True, help="scenes that draw.py drew")
    parser.add_argument("--folder", required=True, help="class folders of other drawn pictures")
    parser.add_argument("trunks", nargs="+", help="state_dicts, or: untrained")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    scenes, labels = np.load(f"{options.pictures}.npy", mmap_mode="r"), np.load(f"{options.pictures}.labels.npy")
    others, names = read_folder(options.folder)
    for path in options.trunks:
        trunk = trunk_of(path)
        background = accuracy(features_of(trunk, scenes), labels[:, 2])
        print(f"{path}  backgrounds {background}  folder {accuracy(features_of(trunk, others), names)}", flush=True)


if __name__ == "__main__":
    main()
