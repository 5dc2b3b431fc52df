"""Distil a ResNet-18 from a teacher of the same shape, on drawn pictures alone.

    python distil.py --teacher resnet18.pth --pictures p192 --held-out held --out a --way blocks --steps 400
    python distil.py --teacher resnet18.pth --pictures p192 --held-out held --out b --init a.checkpoint --way whole --steps 400

The ways: `blocks` trains each block alone, on the teacher's features; `whole` trains the network on pictures.
Writes OUT.checkpoint (to go on with: --resume) and, at the end, OUT.pth, a state_dict as torchvision saves it.
"""

import argparse
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
import torch.nn.functional as F

from augment import augment, middle, normalise
from network import NAMES, Block, Network, Teacher, pooled
from optimiser import Optimiser

# The part of a step's pictures that each part of the network learns from, where it learns alone: early parts have few
# weights and many places in a picture.
SHARES = (1 / 8, 1 / 8, 1 / 8, 1 / 4, 1 / 4, 1 / 2, 1 / 2, 1, 1)


class Run:
    """One training run: student, teacher, optimiser, random numbers and how far it has come."""

    def __init__(self, options, rank=0):
        self.options, self.rank = options, rank
        torch.manual_seed(options.seed)
        self.teacher = Teacher(options.teacher)
        self.student = Network()
        self.generator = torch.Generator()
        self.pictures = np.load(f"{options.pictures}.npy", mmap_mode="r")
        self.held_out = np.load(f"{options.held_out}.npy", mmap_mode="r")
        self.step, self.elapsed = 0, 0.0
        first = self.views(0)
        self.measure_teacher(first)
        self.student.parts[0].requires_grad_(False)
        self.optimiser = Optimiser(self.student, rank, options.processes)
        if options.resume:
            self.load(f"{options.out}.checkpoint")
        elif options.init:
            self.student.load_state_dict(torch.load(options.init, weights_only=False)["student"])
        else:
            self.settle(first)

    def views(self, step):
        """This process's views of a step, normalised: [n, 3, size, size]."""
        options = self.options
        rng = np.random.default_rng([options.seed, step, self.rank])
        rows = rng.integers(0, len(self.pictures), options.batch // options.processes)
        self.generator.manual_seed(1 + self.rank + options.processes * (step + 10**7 * options.seed))
        return augment(torch.from_numpy(self.pictures[rows]), options.resolution, self.generator, options.smallest)

    @torch.no_grad()
    def measure_teacher(self, x):
        """The variance of each channel of the teacher, before and after the ReLU: the errors are parts of it."""
        outputs = [z.float() for z in self.teacher.network(x.bfloat16())]
        self.before = [self.mean_of(variance(z)) for z in outputs]
        self.after = [self.mean_of(variance(F.relu(z))) for z in outputs]
        self.pool = self.mean_of(variance(pooled(outputs[-1])))

    def mean_of(self, value):
        """The mean of the processes' values, in all of them."""
        if self.options.processes > 1:
            dist.all_reduce(value)
            value /= self.options.processes
        return value

    @torch.no_grad()
    def settle(self, x):
        """Scale the random filters so that, on the teacher's features, each hidden output has mean 0 and variance 1 and the residual
        branch half the deviation of the teacher's output. The stem is linear: least squares give it, and it stays so."""
        for part, teacher, variance in zip(self.student.parts, self.teacher.network.parts, self.before):
            target = teacher(x)
            if isinstance(part, Block):
                self.scale(part.conv1, x, torch.ones(len(part.conv1.bias)))
                self.scale(part.conv2, F.relu(part.conv1(x)), 0.5 * variance.sqrt())
            else:
                self.fit_stem(part.conv1, x, target)
            x = teacher.after(target)

    def fit_stem(self, conv, x, target):
        inputs = F.unfold(x, conv.kernel_size, padding=conv.padding, stride=conv.stride)
        inputs = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1).transpose(1, 2).flatten(0, 1)
        gram = self.mean_of(inputs.T @ inputs).double()
        moments = self.mean_of(inputs.T @ target.flatten(2).transpose(1, 2).flatten(0, 1)).double()
        gram.diagonal().add_(1e-4 * gram.diagonal().mean())
        fitted = torch.linalg.solve(gram, moments).float().T
        conv.weight.copy_(fitted[:, :-1].view(conv.weight.shape))
        conv.bias.copy_(fitted[:, -1])

    def scale(self, conv, x, deviation):
        """Let the outputs of a convolution on x have mean 0 and this deviation."""
        conv.bias.zero_()
        out = conv(x)
        factor = deviation / self.mean_of(out.var((0, 2, 3))).sqrt()
        conv.weight *= factor[:, None, None, None]
        conv.bias -= self.mean_of(out.mean((0, 2, 3))) * factor

    def rate(self):
        options = self.options
        rising = min(1, (self.step + 1) / options.warmup) if options.warmup else 1
        falling = 0.5 * (1 + math.cos(math.pi * self.step / options.steps))
        return rising * (options.lr_end + (options.lr - options.lr_end) * falling)

    def train_step(self):
        x = self.views(1 + self.step).bfloat16()
        losses = self.by_blocks(x) if self.options.way == "blocks" else self.as_a_whole(x)
        self.optimiser.step(self.rate())
        self.step += 1
        return losses

    def by_blocks(self, x):
        """Every part of the student gets the teacher's features, and its output before the ReLU is compared with the teacher's."""
        losses = {}
        for number, (student, teacher) in enumerate(zip(self.student.parts, self.teacher.network.parts)):
            if number > 0:
                x = self.vary(x)
            with torch.no_grad():
                target = teacher(x)
            some = math.ceil(len(x) * SHARES[number])
            error = student(x[:some]) - target[:some]
            loss = self.part_of_variance(error, self.before[number])
            if number > 0:
                loss.backward()
            losses[NAMES[number]] = loss.item()
            x = teacher.after(target)
        return losses

    def leaky_loss(self, z, target, number):
        error = F.leaky_relu(z, 0.1) - F.leaky_relu(target, 0.1)
        return self.part_of_variance(error, self.after[number])

    def feature_losses(self, features, wanted):
        """Of the pooled features, and of the teacher's logits of them."""
        logits, of_teacher = F.log_softmax(self.teacher.logits(features), 1), F.log_softmax(self.teacher.logits(wanted), 1)
        return {
            "pool": ((features - wanted).square().mean(0) / self.pool).mean(),
            "logits": F.kl_div(logits, of_teacher, reduction="batchmean", log_target=True),
        }

    @staticmethod
    def part_of_variance(error, variance):
        """The mean over channels of squared errors [n, channels, h, w], as parts of the teacher's variance."""
        scaled = error * variance.rsqrt().to(error.dtype)[:, None, None]
        return scaled.float().square().mean()

    def vary(self, x):
        """Change the strength of each channel in half of the pictures, so that blocks know more than what drawn pictures excite."""
        n, channels = x.shape[:2]
        gains = torch.empty(n, channels, 1, 1).normal_(0, self.options.gains, generator=self.generator).exp_()
        gains[torch.rand(n, generator=self.generator) < 0.5] = 1
        return x * gains.to(x.dtype)

    def as_a_whole(self, x):
        """The outputs of all parts, behind their ReLUs, and the features at the end are compared with the teacher's."""
        with torch.no_grad():
            targets = self.teacher.network(x)
        outputs = self.student(x)
        losses = {name: self.leaky_loss(z, targets[i], i) for i, (name, z) in enumerate(zip(NAMES, outputs))}
        losses.update(self.feature_losses(pooled(outputs[-1]), pooled(targets[-1])))
        sum(losses.values()).backward()
        return {name: loss.item() for name, loss in losses.items()}

    @torch.no_grad()
    def judge(self):
        """On held-out scenes: the part of the variance of each part's output, and of the features, that the student as a whole
        misses, and how often its features give the same class as the teacher's."""
        rows = np.array_split(np.arange(len(self.held_out)), len(self.held_out) // 32)[self.rank :: self.options.processes]
        missed, total, features = 0, 0, []
        for part in rows:
            x = normalise(torch.from_numpy(middle(self.held_out[part], self.options.judge_at))).bfloat16()
            outputs, targets = self.student(x), self.teacher.network(x)
            missed += torch.stack(
                [self.part_of_variance(F.relu(z) - F.relu(t), v) for z, t, v in zip(outputs, targets, self.after)]
            )
            total += 1
            features.append(torch.stack([pooled(outputs[-1]), pooled(targets[-1])]))
        missed = self.mean_of(missed / total)
        features = torch.cat(features, 1)
        ours, theirs = features
        pool = self.mean_of(((ours - theirs).square().mean(0) / variance(theirs)).mean())
        same = self.mean_of((self.teacher.logits(ours).argmax(1) == self.teacher.logits(theirs).argmax(1)).float().mean())
        return {**dict(zip(NAMES, missed.tolist())), "pool": pool.item(), "same class": same.item()}

    def save(self, path):
        state = {
            "student": self.student.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "elapsed": self.elapsed,
            "options": vars(self.options),
        }
        torch.save(state, f"{path}.part")
        os.replace(f"{path}.part", path)

    def load(self, path):
        state = torch.load(path, weights_only=False)
        self.student.load_state_dict(state["student"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.elapsed = state["step"], state["elapsed"]


def variance(maps):
    """The variance of each channel of [n, channels] or [n, channels, h, w], not below a twentieth of the mean: some are all but dead."""
    values = maps.transpose(0, 1).flatten(1).var(1)
    return values.clamp(min=0.05 * values.mean())


def work(rank, options):
    """One process of the training; the first one keeps the books."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    if options.processes > 1:
        dist.init_process_group("gloo", init_method=f"file://{options.meeting}", rank=rank, world_size=options.processes)
    run = Run(options, rank)
    before, saved = time.monotonic() - run.elapsed, time.monotonic()
    tell = lambda what, values: rank == 0 and print(what, *(f"{name} {value:.3f}" for name, value in values.items()), flush=True)
    tell(f"step {run.step}  held out ", run.judge())
    while run.step < options.steps and run.step != options.until:
        losses = run.train_step()
        run.elapsed = time.monotonic() - before
        if run.step % 20 == 0:
            tell(f"step {run.step}  {run.elapsed / 60:.1f} min ", losses)
        if run.step % options.judge_every == 0:
            tell(f"step {run.step}  held out ", run.judge())
        if rank == 0 and time.monotonic() - saved > 120:
            run.save(f"{options.out}.checkpoint")
            saved = time.monotonic()
    tell(f"step {run.step}  held out ", run.judge())
    if rank == 0:
        run.save(f"{options.out}.checkpoint")
        export(run.student, f"{options.out}.pth")


def export(student, path):
    """Save the student as a torchvision state_dict, and say the sha256 of its values."""
    state = student.torchvision_state()
    torch.save(state, path)
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(state[name].numpy().tobytes())
    print(f"{Path(path).name}: sha256 of the values {digest.hexdigest()}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True, help="a torchvision ResNet-18 with its fc: .pth or .safetensors")
    parser.add_argument("--pictures", required=True, help="what draw.py --out wrote")
    parser.add_argument("--held-out", required=True, help="the same, of other classes: what the student is judged by")
    parser.add_argument("--out", required=True)
    parser.add_argument("--way", choices=("blocks", "whole"), required=True, help="see above")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--until", type=int, help="stop after this step of the --steps, as if broken off there")
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--batch", type=int, default=96, help="views a step")
    parser.add_argument("--smallest", type=float, default=0.15, help="the smallest crop, as a part of the picture")
    parser.add_argument("--gains", type=float, default=0.3, help="of the features that blocks are trained on, as a deviation of the logarithm")
    parser.add_argument("--lr", type=float, default=0.03, help="the largest step, as a part of a filter bank's length")
    parser.add_argument("--lr-end", type=float, default=0.0, help="where the rate ends, along a cosine")
    parser.add_argument("--warmup", type=int, default=20, help="steps with a rising rate")
    parser.add_argument("--judge-every", type=int, default=200)
    parser.add_argument("--judge-at", type=int, default=160, help="the resolution there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--init", help="start from this .checkpoint's weights")
    parser.add_argument("--resume", action="store_true", help="go on where OUT.checkpoint stopped")
    # A process of one thread for each core: oneDNN's threads wait for each other by spinning, which costs four fifths of
    # the time where other programs use the same cores.
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="each takes a part of a step")
    return parser.parse_args()


def main():
    options = parse()
    if options.processes == 1:
        work(0, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        options.meeting = str(Path(folder) / "meeting")
        mp.spawn(work, (options,), options.processes)


if __name__ == "__main__":
    main()
