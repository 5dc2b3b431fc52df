"""Draw scenes into one memory-mapped array of bytes, or into a folder of PNG files to calibrate on.

    python draw.py --out pictures-128 --count 36000 --size 128 --seed 7
    python draw.py --png folder --count 256 --size 256 --seed 7 --first 1000000

Scene number i depends on the seed and on i alone, however many workers draw.
"""

import argparse
import os
from multiprocessing import Pool
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # One thread for each worker.

import numpy as np

from scenes import Catalogue, draw_scene

CHUNK = 250


def draw_chunk(job):
    """Draw scenes first … first + count - 1 into rows start … of the array, or into PNG files."""
    seed, classes, size, out, png, start, first, count = job
    catalogue = Catalogue.create(seed, classes, classes)
    target = None if png else np.load(f"{out}.npy", mmap_mode="r+")
    for i in range(count):
        picture = draw_scene(catalogue, first + start + i, size)
        if png:
            from PIL import Image

            Image.fromarray(picture).save(Path(png) / f"{first + start + i:07d}.png")
        else:
            target[start + i] = picture
    return start + count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="writes OUT.npy, uint8 [count, size, size, 3]")
    parser.add_argument("--png", help="writes PNG files into this folder instead")
    parser.add_argument("--count", type=int, default=36000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--classes", type=int, default=256, help="classes of textures, and of shapes")
    parser.add_argument("--first", type=int, default=0, help="the number of the first scene")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if bool(options.out) == bool(options.png):
        parser.error("give either --out or --png")

    if options.png:
        Path(options.png).mkdir(parents=True, exist_ok=True)
    else:
        shape = (options.count, options.size, options.size, 3)
        np.lib.format.open_memmap(f"{options.out}.npy", "w+", np.uint8, shape).flush()
    jobs = [
        (options.seed, options.classes, options.size, options.out, options.png, start, options.first, min(CHUNK, options.count - start))
        for start in range(0, options.count, CHUNK)
    ]
    with Pool(options.workers) as pool:
        for end in pool.imap_unordered(draw_chunk, jobs):
            print(f"{end} of {options.count}", flush=True)


if __name__ == "__main__":
    main()
