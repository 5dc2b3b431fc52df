"""Train a ResNet-18 on drawn scenes: the classes of their parts, telling crops of one scene from all others, and colours.

    python train.py --pictures pictures-128 --out trunk --dictionary pictures-192 --steps 200   # to the bit, every time
    python train.py --pictures pictures-128 --out trunk --minutes 60         # the schedule follows the clock

Writes OUT.checkpoint (to go on with: --resume) and, at the end, OUT.pth, a state_dict as torchvision saves it.
"""

import hashlib
import math
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from augment import augment, colour_shares, middle, normalise
from dictionary import start
from network import Pretrainer, colour_loss, instance_loss, label_loss
from options import parse
from unfold import unfold


class Run:
    """One training run: network, optimiser, random numbers and how far it has come."""

    def __init__(self, options, rank=0):
        self.options, self.rank = options, rank
        torch.manual_seed(options.seed)
        self.device = torch.device(options.device)
        self.network = Pretrainer().to(self.device, memory_format=torch.channels_last)
        self.optimiser = torch.optim.SGD(
            self.network.parameters(), lr=options.lr, momentum=0.9, nesterov=True, weight_decay=options.weight_decay
        )
        self.generator = torch.Generator(self.device)
        self.pictures = np.load(f"{options.pictures}.npy", mmap_mode="r")
        self.labels = np.load(f"{options.pictures}.labels.npy")
        self.memory = torch.zeros(0, 128, device=self.device)
        self.step, self.elapsed = 0, 0.0
        if options.resume:
            self.load(f"{options.out}.checkpoint")
        elif options.init and options.init.endswith(".onnx"):
            unfold(self.network.trunk, options.init, self.first_crops())
        elif options.init:
            self.network.load_state_dict(torch.load(options.init, map_location=self.device, weights_only=False)["network"])
        elif options.dictionary:
            first = np.load(f"{options.dictionary}.npy", mmap_mode="r")[:96].copy()
            start(self.network.trunk, normalise(torch.from_numpy(middle(first, 160))).to(self.device))
        self.forward = torch.compile(self.network) if options.compile else self.network

    def first_crops(self):
        """What the training makes of the first 96 pictures: the statistics of an unfolded trunk are theirs."""
        self.generator.manual_seed(0)
        pictures = torch.from_numpy(self.pictures[:96].copy()).to(self.device)
        return augment(pictures, self.options.resolution, self.generator, self.options.smallest)

    def progress(self):
        """The part of the schedule that is done, 0 to 1."""
        if self.options.steps:
            return self.step / self.options.steps
        return self.elapsed / (60 * self.options.minutes)

    def batch(self):
        """This process's scenes of this step: bytes [n, h, w, 3] and labels [n, 3]. Every scene comes once an epoch."""
        scenes, count = self.options.scenes, len(self.pictures)
        epoch, part = divmod(self.step, count // scenes)
        order = np.random.default_rng([self.options.seed, epoch]).permutation(count)
        rows = order[part * scenes : (part + 1) * scenes][self.rank :: self.options.processes]
        self.generator.manual_seed(1 + self.rank + self.options.processes * (self.step + 10**7 * self.options.seed))
        pictures = torch.from_numpy(self.pictures[rows]).to(self.device)
        return pictures, torch.from_numpy(self.labels[rows]).to(self.device)

    def train_step(self):
        options, progress = self.options, min(self.progress(), 1)
        rising = min(1, (progress + 1e-4) / options.warmup) if options.warmup else 1
        falling = 0.5 * (1 + math.cos(math.pi * progress))
        for group in self.optimiser.param_groups:
            group["lr"] = rising * (options.lr_end + (options.lr - options.lr_end) * falling)
        self.network.trunk.requires_grad_(self.step >= options.heads_first)
        pictures, labels = self.batch()
        crops = augment(torch.cat([pictures, pictures]), options.resolution, self.generator, options.smallest)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=options.bf16):
            logits, projection, colours = self.forward(crops)
        by_label, by_instance = label_loss(logits, torch.cat([labels, labels])), instance_loss(projection, self.memory)
        by_colour = colour_loss(colours, colour_shares(crops))
        self.optimiser.zero_grad(set_to_none=True)
        (options.labels * by_label + options.instances * by_instance + options.colours * by_colour).backward()
        self.average_gradients()
        self.optimiser.step()
        self.remember(projection)
        self.step += 1
        return {"labels": by_label.item(), "instances": by_instance.item(), "colours": by_colour.item()}

    def average_gradients(self):
        if self.options.processes == 1:
            return
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= self.options.processes
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
            gradient.copy_(part.view_as(gradient))

    def remember(self, projection):
        """Keep the newest --memory projections of all processes as negatives."""
        if not self.options.memory:
            return
        parts = [projection.detach()]
        if self.options.processes > 1:
            parts = [torch.empty_like(projection) for _ in range(self.options.processes)]
            dist.all_gather(parts, projection.detach())
        self.memory = torch.cat([self.memory, *parts])[-self.options.memory :]

    def agree(self, value):
        """The first process's value, in all of them."""
        values = [value]
        if self.options.processes > 1:
            dist.broadcast_object_list(values)
        return values[0]

    def save(self, path):
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "memory": self.memory,
            "step": self.step,
            "elapsed": self.elapsed,
            "options": vars(self.options),
        }
        torch.save(state, f"{path}.part")
        os.replace(f"{path}.part", path)

    def load(self, path):
        state = torch.load(path, map_location=self.device, weights_only=False)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.memory = state["memory"]
        self.step, self.elapsed = state["step"], state["elapsed"]


def work(rank, options):
    """One process of the training; the first one keeps the books."""
    if options.device == "cpu":
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
    if options.processes > 1:
        dist.init_process_group("gloo", init_method=f"file://{options.meeting}", rank=rank, world_size=options.processes)
    run = Run(options, rank)
    before, saved = time.monotonic() - run.elapsed, time.monotonic()
    while run.progress() < 1 and run.step != options.until:
        losses = run.train_step()
        run.elapsed = run.agree(time.monotonic() - before)
        if rank == 0 and run.step % 20 == 0:
            told = "  ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
            print(f"step {run.step}  {run.elapsed / 60:.1f} min  {told}", flush=True)
        if rank == 0 and time.monotonic() - saved > 120:
            run.save(f"{options.out}.checkpoint")
            saved = time.monotonic()
    if rank == 0:
        run.save(f"{options.out}.checkpoint")
        export(run.network, f"{options.out}.pth")


def main():
    options = parse(__doc__)
    if options.device != "cpu" or options.processes == 1:
        options.processes = 1
        work(0, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        options.meeting = str(Path(folder) / "meeting")
        mp.spawn(work, (options,), options.processes)


def export(network, path):
    """Save the trunk as a torchvision state_dict, and say the sha256 of its values."""
    state = {name: value.cpu().contiguous() for name, value in network.trunk.state_dict().items()}
    torch.save(state, path)
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(state[name].numpy().tobytes())
    print(f"{Path(path).name}: sha256 of the values {digest.hexdigest()}")


if __name__ == "__main__":
    main()
