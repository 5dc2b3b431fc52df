"""The options of train.py."""

import argparse
import os

import torch


def parse(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", required=True, help="what draw.py --out wrote")
    parser.add_argument("--out", required=True)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, help="train for so many steps")
    length.add_argument("--minutes", type=float, help="train for so long; pauses count")
    parser.add_argument("--until", type=int, help="stop after this step of the --steps, as if broken off there")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--scenes", type=int, default=128, help="scenes a step; each gives two crops")
    parser.add_argument("--lr", type=float, default=0.15, help="the largest learning rate, of SGD")
    parser.add_argument("--lr-end", type=float, default=0.0, help="where the rate ends, along a cosine")
    parser.add_argument("--warmup", type=float, default=0.03, help="the part of the schedule with a rising rate")
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--labels", type=float, default=1.0, help="weight of the loss of the classes")
    parser.add_argument("--instances", type=float, default=1.0, help="weight of the loss of the instances")
    parser.add_argument("--memory", type=int, default=0, help="negatives of earlier steps, for the loss of the instances")
    parser.add_argument("--colours", type=float, default=1.0, help="weight of the loss of the colours")
    parser.add_argument("--smallest", type=float, default=0.15, help="the smallest crop, as a part of the picture")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dictionary", help="start from dictionaries of patches of these pictures")
    parser.add_argument("--init", help="start from this .checkpoint's weights, or from the trunk of an .onnx that convert.ts wrote")
    parser.add_argument("--heads-first", type=int, default=0, help="leave the trunk as it is for so many steps, for heads that are new")
    parser.add_argument("--resume", action="store_true", help="go on where OUT.checkpoint stopped")
    # A process of one thread for each core: oneDNN's threads wait for each other by spinning, which costs four fifths of
    # the time where other programs use the same cores.
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="of the CPU; each takes a part of a step")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--compile", action="store_true")
    return parser.parse_args()
