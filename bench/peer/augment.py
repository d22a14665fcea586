"""Augmentations of whole batches on the CPU, [B, 3, H, W] in [0, 1]; each sample has its own random numbers.

The operations are torchvision's on tensors; check.py compares them. A random subset of the samples is gathered,
changed and written back, so that nothing is computed for samples that an operation leaves alone.
"""

import math

import torch
import torch.nn.functional as F

GREY = (0.2989, 0.587, 0.114)
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def normalize(images):
    return (images - MEAN) / STD


def grey(images):
    """[B, 1, H, W]."""
    r, g, b = images.unbind(1)
    return (GREY[0] * r + GREY[1] * g + GREY[2] * b).unsqueeze(1)


def blend(images, other, factor):
    return torch.lerp(other, images, factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def brightness(images, factor):
    return (images * factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def contrast(images, factor):
    return blend(images, grey(images).mean((1, 2, 3), keepdim=True).expand_as(images), factor)


def saturation(images, factor):
    return blend(images, grey(images).expand_as(images), factor)


def hue(images, shift):
    """Shifts the hue by `shift` turns, through HSV."""
    r, g, b = images.unbind(1)
    value = images.amax(1)
    spread = value - images.amin(1)
    scale = 1 / spread.clamp_min(1e-12)
    red = (g - b) * scale
    green = (b - r) * scale + 2
    blue = (r - g) * scale + 4
    sixth = torch.where(value == r, red, torch.where(value == g, green, blue)) + 6 * shift.view(-1, 1, 1)
    channels = []
    for offset in (5, 3, 1):
        k = (sixth + offset).remainder(6)
        channels.append(value - spread * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, 1)


JITTER = (brightness, contrast, saturation, hue)


def color_jitter(images, chosen, orders, factors, operations=JITTER):
    """Applies to the `chosen` samples ([B] bool) the four operations, each sample in its own order.

    orders [B, 4]: the operation at each place. factors [B, 4]: each operation's factor (hue: shift).
    """
    images = images.clone()
    for place in range(4):
        for number, operation in enumerate(operations):
            index = (chosen & (orders[:, place] == number)).nonzero().flatten()
            if len(index):
                images[index] = operation(images[index], factors[index, number])
    return images


def random_color_jitter(images, probability, ranges, operations=JITTER):
    batch = len(images)
    spread = torch.tensor(ranges) * (2 * torch.rand(batch, 4) - 1)
    factors = spread + torch.tensor([1.0, 1.0, 1.0, 0.0])
    return color_jitter(images, torch.rand(batch) < probability, torch.rand(batch, 4).argsort(1), factors, operations)


def gaussian_blur(images, sigma, kernel=9):
    """A blur per sample, [B] sigma > 0; reflected borders, as torchvision's."""
    batch, channels, height, width = images.shape
    half = kernel // 2
    x = torch.arange(-half, half + 1, dtype=images.dtype)
    weights = torch.softmax(-0.5 * (x / sigma.view(-1, 1)).square(), 1).repeat_interleave(channels, 0)
    padded = F.pad(images, (half,) * 4, mode="reflect").view(1, batch * channels, height + 2 * half, -1)
    rows = F.conv2d(padded, weights[:, None, None, :], groups=batch * channels)
    return F.conv2d(rows, weights[:, None, :, None], groups=batch * channels).view_as(images)


def base_pipeline(images, blur_probability, solarize_probability, operations=JITTER):
    """DINOv2's common pipeline after crop and flip: jitter, grey, blur, solarise."""
    batch = len(images)
    images = random_color_jitter(images, 0.8, (0.4, 0.4, 0.2, 0.1), operations)
    index = (torch.rand(batch) < 0.2).nonzero().flatten()
    images[index] = grey(images[index]).expand(-1, 3, -1, -1)
    index = (torch.rand(batch) < blur_probability).nonzero().flatten()
    if len(index):
        images[index] = gaussian_blur(images[index], 0.1 + 1.9 * torch.rand(len(index)))
    index = (torch.rand(batch) < solarize_probability).nonzero().flatten()
    if len(index):
        chosen = images[index]
        images[index] = torch.where(chosen >= 128 / 255, 1 - chosen, chosen)
    return images


def se2(images, theta):
    """Rotates about the centre by theta[:, 0] degrees counter-clockwise, then moves the picture right and down.

    theta [B, 3]: angle, and the shift as fractions of width and height. Bilinear, black outside.
    """
    height, width = images.shape[2:]
    angle = theta[:, 0] * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    shift_x, shift_y = 2 * theta[:, 1], 2 * theta[:, 2]
    aspect = height / width
    # From output to input, in affine_grid's coordinates: -1..1 along each axis.
    matrix = torch.stack([
        torch.stack([cos, -sin * aspect, -cos * shift_x + sin * aspect * shift_y], 1),
        torch.stack([sin / aspect, cos, -sin / aspect * shift_x - cos * shift_y], 1),
    ], 1)
    grid = F.affine_grid(matrix, images.shape, align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def random_se2(batch):
    return (2 * torch.rand(batch, 3) - 1) * torch.tensor([45.0, 10 / 224, 10 / 224])


def path(images, theta, count):
    """g at theta k/(count+1) for k = 1..count+1: a list of count in-between batches and the final one."""
    fractions = torch.arange(1, count + 2) / (count + 1)
    steps = (fractions.view(-1, 1, 1) * theta).flatten(0, 1)
    return se2(images.repeat(count + 1, 1, 1, 1), steps).chunk(count + 1)
