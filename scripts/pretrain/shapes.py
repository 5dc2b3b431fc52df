"""Shapes: classes of silhouettes as signed distances, posed and jittered by instance, with a relief for shading.

A shape *class* is an arrangement of parts (ellipses, boxes, rods, triangles), a closed Fourier curve or a star, drawn
once from (seed, class); an *instance* has its own pose, stretch and jitter of the parts.
"""

import numpy as np

from fields import grid


class ShapeClass:
    """The fixed parameters of a shape."""

    def __init__(self, seed, number):
        rng = np.random.default_rng([seed, 2, number])
        self.kind = ("parts", "parts", "curve", "star")[number % 4]
        n = int(rng.integers(2, 6))
        self.parts = [
            (int(rng.integers(4)), rng.uniform(-0.6, 0.6, 2), rng.uniform(0.12, 0.5, 2), rng.uniform(0, np.pi), rng.random() < 0.15)
            for _ in range(n)
        ]
        harmonics = np.arange(2, 7)
        self.amplitudes = rng.normal(0, 0.45, 5) / harmonics**0.8
        self.phases = rng.uniform(0, 2 * np.pi, 5)
        self.points, self.depth = int(rng.integers(3, 9)), rng.uniform(0.05, 0.55)
        self.relief = rng.uniform(0.1, 0.5)


def part_distance(kind, u, v, radii):
    """About the signed distance to a part (negative inside) at coordinates u, v along its axes."""
    a, b = radii
    if kind == 0:
        return (np.sqrt((u / a) ** 2 + (v / b) ** 2) - 1) * min(a, b)
    if kind == 1:
        return np.maximum(np.abs(u) - a, np.abs(v) - b)
    if kind == 2:
        return np.hypot(np.maximum(np.abs(u) - a, 0), v) - 0.35 * b
    return np.maximum(0.9 * np.abs(u) / a + 0.45 * v / b - 0.5, -v / b - 0.8) * min(a, b)


def distance(shape, rng, x, y):
    """Signed distance in the shape's own coordinates, where it fills about [-1, 1]; negative inside."""
    if shape.kind == "parts":
        total = None
        for kind, centre, radii, angle, hole in shape.parts:
            cx, cy = centre + rng.normal(0, 0.05, 2)
            turn = angle + rng.normal(0, 0.12)
            c, s = np.cos(turn), np.sin(turn)
            d = part_distance(kind, c * (x - cx) + s * (y - cy), c * (y - cy) - s * (x - cx), radii * rng.uniform(0.85, 1.15, 2))
            if total is None:
                total = d
            else:
                total = np.maximum(total, 0.05 - d) if hole else np.minimum(total, d)
        return total
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    if shape.kind == "curve":
        amplitudes = shape.amplitudes * rng.uniform(0.85, 1.15, 5)
        outline = 0.6 * np.exp(sum(a * np.cos(k * angle + f) for k, a, f in zip(range(2, 7), amplitudes, shape.phases)))
    else:
        saw = np.abs(((angle * shape.points / (2 * np.pi)) % 1) * 2 - 1)
        outline = 0.8 * (1 - shape.depth * saw * rng.uniform(0.85, 1.15))
    return (radius - outline) * 0.8


def place(shape, rng, size, scale):
    """An instance somewhere on the picture: opacity [size, size] in [0, 1], and shading by one light."""
    x, y = grid(size)
    cx, cy = rng.uniform(0.3, 0.7, 2) if scale > 0.2 else rng.uniform(0.05, 0.95, 2)
    turn = rng.normal(0, 0.35)
    stretch, shear = np.exp(rng.normal(0, 0.15)), rng.normal(0, 0.12)
    c, s = np.cos(turn) / scale, np.sin(turn) / scale
    x, y = x - cx, y - cy
    u, v = (c * x + s * y) * stretch, (c * y - s * x) / stretch
    if rng.random() < 0.5:
        u = -u
    d = distance(shape, rng, (u + shear * v).astype(np.float32), v.astype(np.float32)).astype(np.float32)
    opacity = np.clip(0.5 - d * scale * size, 0, 1)
    # A rim of circular section, `relief` wide, lit from one side (Lambert) with some gloss.
    rise = np.clip(-d / shape.relief, 0, 1)
    height = np.sqrt(np.clip(1 - (1 - rise) ** 2, 0, 1)) * shape.relief * scale * size
    dy, dx = np.gradient(height)
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.4, 1.2)
    lx, ly, lz = np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)
    facing = np.clip((lz - lx * dx - ly * dy) / np.sqrt(1 + dx * dx + dy * dy), 0, 1)
    flat = rng.random() < 0.25
    shading = np.ones_like(facing) if flat else rng.uniform(0.2, 0.5) + 0.9 * facing
    gloss = 0 if flat or rng.random() < 0.5 else rng.uniform(0.1, 0.6) * facing**20
    return opacity, shading.astype(np.float32), gloss
