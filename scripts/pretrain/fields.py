"""Eight families of procedural fields, each drawn from random numbers, a size and the parameters `p` of a texture class."""

import numpy as np


def normalise(field, spread=2.2):
    """Centre a field and bring +-`spread` standard deviations into [0, 1]."""
    field = field - field.mean()
    return np.clip(0.5 + field / (2 * spread * field.std() + 1e-6), 0, 1)


def grid(size):
    """Coordinates x, y of the pixel centres in [0, 1)."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    return np.meshgrid(axis, axis)


def filtered_noise(rng, size, amplitude):
    """White Gaussian noise whose spectrum is multiplied by `amplitude(fx, fy)`, in cycles per picture."""
    noise = np.fft.rfft2(rng.standard_normal((size, size), dtype=np.float32))
    fy = np.fft.fftfreq(size, 1 / size).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(size, 1 / size).astype(np.float32)[None, :]
    return np.fft.irfft2(noise * amplitude(fx, fy), s=(size, size)).astype(np.float32)


def power_law(rng, size, exponent, ratio=1.0, angle=0.0):
    """Noise of amplitude f^-exponent (natural pictures: about 1), stretched `ratio` times along `angle`."""
    c, s = np.cos(angle), np.sin(angle)

    def amplitude(fx, fy):
        u, v = c * fx + s * fy, (-s * fx + c * fy) / ratio
        squared = u * u + v * v
        squared[0, 0] = 1
        result = squared ** (-exponent / 2)
        result[0, 0] = 0
        return result

    return filtered_noise(rng, size, amplitude)


def bend(field, kind):
    """A pointwise nonlinearity: as it is, ridges, soft threshold, or squares."""
    field = (field - field.mean()) / (field.std() + 1e-6)
    return (field, 1 - np.abs(field), np.tanh(4 * field), field * np.abs(field))[kind]


def spectrum(rng, size, p):
    return bend(power_law(rng, size, 0.6 + 1.6 * p.a, 1 + 4 * p.b * p.b, p.angle), p.kind)


def band(rng, size, p):
    """Noise in a band around one frequency, isotropic or within an angle."""
    centre, width = 4 * 10**p.a, 0.1 + 0.5 * p.b
    tightness = 0 if p.c < 0.4 else 1 + 12 * p.c

    def amplitude(fx, fy):
        radius = np.sqrt(fx * fx + fy * fy) + 1e-3
        ring = np.exp(-0.5 * (np.log(radius / centre) / width) ** 2)
        return ring * np.exp(tightness * (np.cos(2 * (np.arctan2(fy, fx) - p.angle)) - 1))

    return bend(filtered_noise(rng, size, amplitude), p.kind)


def wave(phase, kind):
    """Period 1: sine, soft square, triangle, saw."""
    if kind == 3:
        return 2 * (phase % 1) - 1
    sine = np.sin(2 * np.pi * phase)
    return (sine, np.tanh(5 * sine), 2 / np.pi * np.arcsin(sine))[kind]


def lattice(rng, size, p):
    """Stripes, checks and dots: one to three waves, bent by smooth noise."""
    x, y = grid(size)
    warp = power_law(rng, size, 2.2)
    warp *= 0.35 * p.c * p.c / (warp.std() + 1e-6)
    total = 0 if p.kind2 else 1
    for i in range(p.count):
        angle = p.angle + np.pi * i / p.count * (1 if p.b > 0.3 else 1.2)
        frequency = 3 * 8**p.a
        w = wave(frequency * (x * np.cos(angle) + y * np.sin(angle)) + warp * 3 + rng.random(), p.kind)
        total = total + w if p.kind2 else total * w
    return total


def cells(rng, size, p):
    """Worley noise on a jittered grid: distance to the nearest point, to the border, or a value for each cell."""
    n = int(3 + 14 * p.a)
    jitter = (0.2 + 0.8 * p.b) * (rng.random((2, n, n), dtype=np.float32) - 0.5) + 0.5
    value = rng.random((n, n), dtype=np.float32)
    x, y = grid(size)
    x, y = x * n, y * n * (1 if p.c < 0.5 else 0.5)
    column, row = x.astype(np.int32), y.astype(np.int32)
    first = np.full((size, size), 9.0, np.float32)
    second = first.copy()
    owner = np.zeros((size, size), np.float32)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            i, j = (row + dy) % n, (column + dx) % n
            u, v = column + dx + jitter[0, i, j] - x, row + dy + jitter[1, i, j] - y
            d = u * u + v * v
            near = d < first
            second = np.where(near, first, np.minimum(second, d))
            owner = np.where(near, value[i, j], owner)
            first = np.where(near, d, first)
    first, second = np.sqrt(first), np.sqrt(second)
    return (first, np.minimum(second - first, 0.3), owner, owner + 0.6 * (second - first < 0.12))[p.kind]


def leaves(rng, size, p):
    """Dead leaves: opaque discs, boxes, triangles or rods of power-law sizes, one over the other."""
    field = np.full((size, size), 0.5, np.float32)
    count = int(60 + 120 * p.a)
    low, high = 0.02 + 0.03 * p.b, 0.1 + 0.3 * p.c
    # Sizes with density r^-3, between low and high (Lee, Mumford and Huang 2001).
    u = rng.random(count)
    radii = 1 / np.sqrt(1 / low**2 - u * (1 / low**2 - 1 / high**2))
    places, values, turns = rng.random((count, 2)), rng.random(count), rng.normal(p.angle, 0.1 + 2 * p.b, count)
    for (cx, cy), r, value, turn in zip(places, radii, values, turns):
        x0, x1 = max(0, int((cx - r) * size)), min(size, int((cx + r) * size) + 2)
        y0, y1 = max(0, int((cy - r) * size)), min(size, int((cy + r) * size) + 2)
        x = (np.arange(x0, x1, dtype=np.float32)[None, :] / size - cx) / r
        y = (np.arange(y0, y1, dtype=np.float32)[:, None] / size - cy) / r
        c, s = np.cos(turn), np.sin(turn)
        a, b = np.abs(c * x + s * y), c * y - s * x
        if p.kind == 0:
            inside = x * x + y * y < 1
        elif p.kind == 1:
            inside = np.maximum(a, np.abs(b)) < 0.7
        elif p.kind == 2:
            inside = (b > -0.5) & (1.7 * a + b < 1)
        else:
            inside = (a < 0.95) & (np.abs(b) < 0.25)
        field[y0:y1, x0:x1][inside] = value + 0.1 * (y * inside)[inside] * p.c
    return field


def fractal_density(rng, size, p):
    """The attractor of an iterated function system of 2 to 5 affine maps, as log density in [0, 1]."""
    maps, shifts = p.maps, p.shifts
    points = rng.uniform(-1, 1, (1500, 2)).astype(np.float32)
    trail = []
    for step in range(28):
        choice = rng.integers(0, len(maps), len(points))
        points = np.einsum("nij,nj->ni", maps[choice], points) + shifts[choice]
        if step >= 6:
            trail.append(points)
    points = np.concatenate(trail)
    low, high = np.quantile(points[::7], [0.01, 0.99], axis=0)
    scaled = (points - low) / (high - low + 1e-6) * 0.9 + 0.05
    # Counted at half the resolution, since a dot of one pixel hardly survives a change of size.
    half = size // 2
    index = (scaled * half).astype(np.int32)
    index = index[((index >= 0) & (index < half)).all(1)]
    counts = np.bincount(index[:, 1] * half + index[:, 0], minlength=half * half).reshape(half, half)
    field = np.log1p(counts * (half / 64) ** 2).astype(np.float32)
    return np.repeat(np.repeat(field / (field.max() + 1e-6), 2, 0), 2, 1)


def strokes(rng, size, p):
    """Hairs and scratches: many short curves, as grass or fur."""
    count, steps = int(150 + 400 * p.a), 48
    t = np.linspace(0, 1, steps, dtype=np.float32)[None, :]
    start, turn = rng.random((count, 2, 1)), rng.normal(p.angle, 0.1 + 1.5 * p.c * p.c, (count, 1))
    length = (0.05 + 0.25 * p.b) * rng.uniform(0.5, 1.5, (count, 1))
    curl = rng.normal(0, 1.5 * p.c, (count, 1))
    x = (start[:, 0] + length * t * np.cos(turn + curl * t)) % 1
    y = (start[:, 1] + length * t * np.sin(turn + curl * t)) % 1
    bright = np.repeat(rng.uniform(-1, 1, (count, 1)), steps, 1).ravel()
    index = ((y * size).astype(np.int32) * size + (x * size).astype(np.int32)).ravel()
    field = np.bincount(index, weights=bright, minlength=size * size).reshape(size, size).astype(np.float32)
    field = field + np.roll(field, 1, 0) + np.roll(field, 1, 1)
    return np.tanh(field) + 0.4 * normalise(power_law(rng, size, 1.2))


def marble(rng, size, p):
    """Veins and rings: a wave whose phase is power-law noise."""
    x, y = grid(size)
    warp = normalise(power_law(rng, size, 1.2 + 0.8 * p.b)) - 0.5
    radius = np.hypot(x - rng.random(), y - rng.random())
    base = radius if p.kind2 else x * np.cos(p.angle) + y * np.sin(p.angle)
    return wave(base * (2 + 10 * p.a) + warp * (1 + 4 * p.c), p.kind)


FAMILIES = (spectrum, band, lattice, cells, leaves, fractal_density, strokes, marble)
