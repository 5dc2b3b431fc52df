"""Strong augmentation of a whole batch at once, on whatever device it lies; all randomness from one generator."""

import torch
import torch.nn.functional as F

# ImageNet's mean and deviation, which lastlayer's transform subtracts and divides by.
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def middle(pictures, size):
    """The middle of pictures [n, h, w, 3]: [n, size, size, 3]."""
    top, left = (pictures.shape[1] - size) // 2, (pictures.shape[2] - size) // 2
    return pictures[:, top : top + size, left : left + size]


def normalise(pictures):
    """Bytes [n, h, w, 3] as the network takes them: float32 [n, 3, h, w]."""
    x = pictures.permute(0, 3, 1, 2).float() / 255
    return ((x - MEAN) / DEVIATION).contiguous(memory_format=torch.channels_last)


def augment(pictures, size, generator, smallest=0.15):
    """Random crops of bytes [n, h, w, 3], normalised: float32 [n, 3, size, size].

    A crop has `smallest` to 1 of the area, and is turned, stretched and mirrored; its colours are jittered, at times
    turned to grey; a fifth are blurred.
    """
    device, n = pictures.device, len(pictures)
    uniform = lambda low, high, *shape: torch.empty(n, *shape, device=device).uniform_(low, high, generator=generator)

    x = pictures.permute(0, 3, 1, 2).float().div_(255)
    x = crop(x, size, uniform, smallest)

    matrix, offset = recolouring(x.mean((2, 3)), uniform)
    x = torch.baddbmm(offset, matrix, x.flatten(2)).unflatten(2, (size, size))

    blurry = uniform(0, 1) < 0.2
    x[blurry] = F.avg_pool2d(F.pad(x[blurry], (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    x = x.clamp_(0, 1).sub_(MEAN.to(device)).div_(DEVIATION.to(device))
    return x.contiguous(memory_format=torch.channels_last)


def recolouring(means, uniform):
    """One affine map of colours a picture, [n, 3, 3] and [n, 3, 1]: saturation or grey, hue, contrast, lightness."""
    eye = torch.eye(3, device=means.device)
    to_grey = torch.tensor([0.299, 0.587, 0.114], device=means.device).expand(3, 3)
    saturation = torch.where(uniform(0, 1, 1, 1) < 0.15, 0.0, uniform(0.3, 1.7, 1, 1))
    mix = eye + uniform(-0.15, 0.15, 3, 3)
    colour = mix / mix.sum(2, keepdim=True) @ (saturation * eye + (1 - saturation) * to_grey)
    contrast, lightness = uniform(0.5, 1.4, 1, 1), uniform(0.6, 1.4, 1, 1)
    centre = (colour @ means.unsqueeze(2)).mean(1, keepdim=True)
    return colour * contrast, (centre * (lightness - contrast)).expand(-1, 3, 1)


def crop(x, size, uniform, smallest):
    """Affine crops. Bilinear sampling hardly aliases up to a shrinking by two, so `size` should be half the picture's or more."""
    n = len(x)
    side = uniform(smallest, 1).sqrt()
    stretch = uniform(-0.25, 0.25).exp()
    width, height = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
    angle = uniform(-0.25, 0.25)
    flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    theta = torch.zeros(n, 2, 3, device=x.device)
    theta[:, 0, 0], theta[:, 0, 1] = width * cos * flip, -height * sin
    theta[:, 1, 0], theta[:, 1, 1] = width * sin * flip, height * cos
    theta[:, 0, 2], theta[:, 1, 2] = uniform(-1, 1) * (1 - width), uniform(-1, 1) * (1 - height)
    places = F.affine_grid(theta, (n, 3, size, size), align_corners=False)
    return F.grid_sample(x, places, padding_mode="border", align_corners=False)
