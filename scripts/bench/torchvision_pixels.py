"""Decodes, resizes and crops pictures as torchvision does for its ImageNet models, but upright by their EXIF orientation.

usage: torchvision_pixels.py PATHS.json OUT   # writes RGB bytes [pictures, 224, 224, 3]
"""
import json
import sys

import numpy as np
from PIL import Image, ImageOps
from torchvision import transforms

transform = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
with open(sys.argv[2], 'wb') as out:
    for path in json.load(open(sys.argv[1])):
        out.write(np.asarray(transform(ImageOps.exif_transpose(Image.open(path)).convert('RGB'))).tobytes())
