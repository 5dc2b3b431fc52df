"""Muon: each filter bank moves by the orthogonal factor of its averaged gradient; biases by Adam."""

import torch
import torch.distributed as dist


def orthogonal(matrix, rounds=5):
    """About U V^T of a matrix U S V^T, by the Newton-Schulz iteration of Jordan et al. 2024, in bfloat16."""
    x = matrix.bfloat16()
    x = x.T if len(matrix) > matrix.shape[1] else x
    x = x / (x.norm() + 1e-7)
    for _ in range(rounds):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.T if len(matrix) > matrix.shape[1] else x).float()


class Optimiser:
    """Steps of all parameters of a network; the processes share the work and hold the same values.

    A filter bank's step is `rate` of its own length, so one rate fits all depths.
    """

    def __init__(self, network, rank, processes, momentum=0.95):
        parameters = [p for p in network.parameters() if p.requires_grad]
        self.banks = [p for p in parameters if p.ndim == 4]
        self.biases = [p for p in parameters if p.ndim == 1]
        self.momentum, self.processes = momentum, processes
        self.averages = [torch.zeros_like(p) for p in self.banks]
        self.adam = torch.optim.Adam(self.biases, betas=(0.9, 0.99))
        loads, self.mine = [0] * processes, set()
        for i, p in sorted(enumerate(self.banks), key=lambda pair: -len(pair[1]) * pair[1].numel()):
            owner = loads.index(min(loads))
            loads[owner] += len(p) * p.numel()
            if owner == rank:
                self.mine.add(i)

    @torch.no_grad()
    def step(self, rate):
        self.share([p.grad for p in self.banks + self.biases], 1 / self.processes)
        for group in self.adam.param_groups:
            group["lr"] = rate * 0.1
        self.adam.step()
        moves = []
        for i, (p, average) in enumerate(zip(self.banks, self.averages)):
            average.mul_(self.momentum).add_(p.grad)
            move = torch.zeros_like(p)
            if i in self.mine:
                direction = orthogonal((p.grad + self.momentum * average).flatten(1))
                move.copy_((direction * (p.norm() / direction.norm())).view_as(p))
            moves.append(move)
        self.share(moves, 1)
        for p, move in zip(self.banks, moves):
            p.sub_(move, alpha=rate)
        for p in self.banks + self.biases:
            p.grad = None

    def share(self, values, factor):
        """Sum values over the processes, in place."""
        if self.processes == 1:
            return
        flat = torch.cat([value.flatten() for value in values])
        dist.all_reduce(flat)
        flat *= factor
        for value, part in zip(values, flat.split([value.numel() for value in values])):
            value.copy_(part.view_as(value))

    def state_dict(self):
        return {"averages": self.averages, "adam": self.adam.state_dict()}

    def load_state_dict(self, state):
        for average, value in zip(self.averages, state["averages"]):
            average.copy_(value)
        self.adam.load_state_dict(state["adam"])
