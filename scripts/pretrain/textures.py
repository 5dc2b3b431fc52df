"""Textures: fields coloured by palettes.

A texture *class* is a family of fields with parameters and a palette drawn once from (seed, class); an *instance* is a new
draw of the noise, with a little change of colour, or with other colours altogether.
"""

import numpy as np

from fields import FAMILIES, normalise, power_law


class TextureClass:
    """The fixed parameters of a texture: family, numbers, angle, maps of a fractal and palette."""

    def __init__(self, seed, number):
        rng = np.random.default_rng([seed, 1, number])
        self.family = FAMILIES[number % len(FAMILIES)]
        self.a, self.b, self.c = rng.random(3)
        self.angle = rng.uniform(0, np.pi)
        self.kind, self.kind2, self.count = int(rng.integers(4)), int(rng.integers(2)), int(rng.integers(1, 4))
        self.maps, self.shifts = affine_maps(rng)
        self.palette = random_palette(rng)
        # Half of the classes are known by structure alone: their colours change from instance to instance.
        self.own_colours = bool(rng.random() < 0.5)


def affine_maps(rng):
    """Contractive maps by singular values, as Anderson and Farrell 2022 sample them; shapes [n, 2, 2] and [n, 2]."""
    n = int(rng.integers(2, 6))
    turn, tilt = rng.uniform(-np.pi, np.pi, (2, n))
    large = rng.uniform(0.45, 0.9, n)
    small = large * rng.uniform(0.3, 1, n)
    rotate = lambda a: np.stack([np.cos(a), -np.sin(a), np.sin(a), np.cos(a)], -1).reshape(n, 2, 2)
    scale = np.stack([large, 0 * large, 0 * large, small * rng.choice([-1, 1], n)], -1).reshape(n, 2, 2)
    return (rotate(turn) @ scale @ rotate(tilt)).astype(np.float32), rng.uniform(-1, 1, (n, 2)).astype(np.float32)


def random_palette(rng):
    """Colours [k, 3] with correlated channels, as in photographs: mostly lightness, less hue, a few saturated."""
    k = int(rng.integers(2, 6))
    light = rng.uniform(0.05, 0.95, (k, 1))
    hue = rng.normal(0, 0.1, (1, 3)) + rng.normal(0, 0.07 if rng.random() < 0.7 else 0.3, (k, 3))
    return np.clip(light + hue, 0, 1).astype(np.float32)


def render(texture, rng, size):
    """An instance of a texture class: colours [size, size, 3] in [0, 1], and the field [size, size] behind them."""
    field = normalise(texture.family(rng, size, texture))
    palette = texture.palette if texture.own_colours else random_palette(rng)
    palette = palette * rng.uniform(0.8, 1.2) + rng.normal(0, 0.04, 3)
    knots = np.linspace(0, 1, len(palette))
    levels = np.linspace(0, 1, 256)
    table = np.stack([np.interp(levels, knots, palette[:, c]) for c in range(3)], 1).astype(np.float32)
    colours = table[(field * 255).astype(np.uint8)]
    # Slow changes of lightness and hue, as light and dirt make them.
    stain = power_law(rng, size, 1.5)
    stain *= rng.uniform(0, 0.1) / (stain.std() + 1e-6)
    colours = colours + stain[..., None] * (1 + rng.normal(0, 0.4, 3)).astype(np.float32)
    return np.clip(colours, 0, 1), field
