"""Scenes: a background, a main object, smaller things around it, light and a camera."""

from dataclasses import dataclass

import numpy as np

from fields import grid, normalise, power_law
from shapes import ShapeClass, place
from textures import TextureClass, random_palette, render


@dataclass
class Catalogue:
    """The classes that scenes are made of, all drawn from one seed."""

    seed: int
    textures: list
    shapes: list

    @classmethod
    def create(cls, seed, textures=256, shapes=256):
        return cls(seed, [TextureClass(seed, i) for i in range(textures)], [ShapeClass(seed, i) for i in range(shapes)])


def receding(colours, rng):
    """The texture as ground below a horizon in perspective, under a sky with a gradient and clouds."""
    size = len(colours)
    x, y = grid(size)
    horizon = rng.uniform(0.2, 0.65)
    depth = 0.35 / np.maximum(y - horizon, 0.02)
    column = ((x - 0.5) * depth * 1.6 * size).astype(np.int32) % size
    row = (depth * size * rng.uniform(0.7, 1.5)).astype(np.int32) % size
    ground = colours[row, column]
    top, bottom = rng.uniform(0.2, 0.9) + rng.normal(0, 0.15, 3), rng.uniform(0.5, 1) + rng.normal(0, 0.06, 3)
    sky = top + (bottom - top) * (y / horizon)[..., None]
    sky = sky + rng.uniform(0, 0.4) * np.clip(normalise(power_law(rng, size, 1.6, 2, np.pi / 2)) - 0.5, 0, 1)[..., None]
    haze = np.clip((depth * 0.12), 0, 0.9)[..., None] * (rng.random() < 0.5)
    ground = ground * (1 - haze) + bottom * haze
    edge = np.clip((y - horizon) * size + (normalise(power_law(rng, size, 1.5))[size // 2][None, :] - 0.5) * size * rng.uniform(0, 0.2), 0, 1)
    return (sky * (1 - edge[..., None]) + ground * edge[..., None]).astype(np.float32)


def paste(picture, shape, colours, rng, scale):
    """Lay an object over the picture, with a soft shadow at times."""
    size = len(picture)
    opacity, shading, gloss = place(shape, rng, size, scale)
    if rng.random() < 0.5:
        dx, dy = rng.integers(-size // 16, size // 16 + 1, 2)
        shadow = np.roll(opacity, (dy, dx), (0, 1))
        k = max(1, size // 32)
        shadow = (np.roll(shadow, k, 0) + np.roll(shadow, -k, 0) + np.roll(shadow, k, 1) + np.roll(shadow, -k, 1)) / 4
        picture = picture * (1 - rng.uniform(0.2, 0.7) * shadow[..., None])
    lit = colours * shading[..., None] + (gloss[..., None] if np.ndim(gloss) else gloss)
    return picture * (1 - opacity[..., None]) + lit * opacity[..., None]


def draw_scene(catalogue, index, size):
    """Scene number `index`: uint8 [size, size, 3]."""
    rng = np.random.default_rng([catalogue.seed, 3, index])
    pick = lambda classes: int(rng.integers(len(classes)))
    background, texture, shape = pick(catalogue.textures), pick(catalogue.textures), pick(catalogue.shapes)
    picture, _ = render(catalogue.textures[background], rng, size)
    if rng.random() < 0.3:
        picture = receding(picture, rng)
    for _ in range(int(rng.poisson(1.0))):
        if rng.random() < 0.5:
            colours = random_palette(rng)[0] * np.ones((size, size, 1), np.float32)
        else:
            colours, _ = render(catalogue.textures[pick(catalogue.textures)], rng, size)
        picture = paste(picture, catalogue.shapes[pick(catalogue.shapes)], colours, rng, rng.uniform(0.05, 0.2))
    if rng.random() < 0.85:
        colours, _ = render(catalogue.textures[texture], rng, size)
        picture = paste(picture, catalogue.shapes[shape], colours, rng, rng.uniform(0.25, 0.55))
    return camera(picture, rng)


def camera(picture, rng):
    """Uneven light, white balance, gamma and grain; then 8 bits."""
    size = len(picture)
    x, y = grid(size)
    slope = rng.normal(0, 0.25, 2)
    light = 1 + slope[0] * (x - 0.5) + slope[1] * (y - 0.5)
    picture = picture * light[..., None] * rng.normal(1, 0.05, 3)
    picture = np.clip(picture, 0, 1) ** np.exp(rng.normal(0, 0.25))
    picture = picture + rng.normal(0, 1, (size, size, 1)).astype(np.float32) * rng.uniform(0, 0.03)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
