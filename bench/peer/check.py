"""Checks the peers against timm and torchvision: python check.py (both must be installed)."""

import augment
import torch
from vit import ViT

try:
    import torchvision  # noqa: F401
except RuntimeError:
    # A torchvision built for another torch lacks its compiled operators; the tensor functions do not need them.
    torch.library.register_fake = lambda *args, **kwargs: lambda function: function
from timm.models.vision_transformer import VisionTransformer
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

torch.manual_seed(0)


def report(name, actual, expected, tolerance=2e-6):
    error = (actual - expected).abs().max().item()
    print(f"{name:12} {error:.1e}")
    assert error < tolerance, f"{name} differs by {error}"


def check_vit():
    config = dict(image=32, patch=8, dim=48, depth=3, heads=3)
    ours = ViT(**config)
    theirs = VisionTransformer(32, 8, embed_dim=48, depth=3, num_heads=3, num_classes=0)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(4, 3, 32, 32)
    report("ViT", ours(images), theirs.forward_features(images), 1e-5)
    for model, forward in ((ours, ours), (theirs, theirs.forward_features)):
        forward(images).square().mean().backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        error = (parameter.grad - expected[name].grad).norm() / expected[name].grad.norm()
        assert error < 1e-4, f"gradient of {name}: {error}"


def each(images, function, values):
    return torch.stack([function(image, value) for image, value in zip(images, values.tolist())])


def check_augmentations():
    images = torch.rand(6, 3, 20, 28)
    images[0] = images[0].mean(0)  # grey pixels have no hue
    factors = 0.6 + 0.8 * torch.rand(6)
    report("brightness", augment.brightness(images, factors), each(images, TF.adjust_brightness, factors))
    report("contrast", augment.contrast(images, factors), each(images, TF.adjust_contrast, factors))
    report("saturation", augment.saturation(images, factors), each(images, TF.adjust_saturation, factors))
    shifts = torch.tensor([0.1, -0.1, 0.03, 0.3, -0.5, 0.0])
    report("hue", augment.hue(images, shifts), each(images, TF.adjust_hue, shifts), 1e-5)
    sigma = torch.tensor([0.1, 0.3, 0.7, 1.1, 1.6, 2.0])
    report("blur", augment.gaussian_blur(images, sigma), each(images, lambda x, s: TF.gaussian_blur(x, 9, s), sigma))
    report("grey", augment.grey(images), TF.rgb_to_grayscale(images))
    theta = torch.tensor([[0, 0, 0], [30, 0, 0], [0, 3, -2], [45, 1.5, 2.5], [-45, -4, 0.25], [10, 20, 0]])
    moved = augment.se2(images, theta / torch.tensor([1, 28, 20]))
    expected = torch.stack([
        TF.affine(image, angle=-angle, translate=[x, y], scale=1.0, shear=[0.0],
                  interpolation=InterpolationMode.BILINEAR)
        for image, (angle, x, y) in zip(images, theta.tolist())
    ])
    report("se2", moved, expected, 2e-5)
    turned = each(images, lambda x, a: TF.rotate(x, a, InterpolationMode.BILINEAR), theta[:, 0])
    report("rotation", augment.se2(images, theta * torch.tensor([1.0, 0, 0])), turned, 2e-5)
    u1, u2, v2 = augment.path(images, theta, 2)
    report("path", torch.cat([u1, u2, v2]), torch.cat([augment.se2(images, theta * k / 3) for k in (1, 2, 3)]))


def check_jitter():
    images = torch.rand(6, 3, 8, 8)
    chosen = torch.tensor([True, False, True, True, True, True])
    orders = torch.rand(6, 4).argsort(1)
    factors = torch.tensor([1.2, 0.7, 1.1, 0.05]).expand(6, 4)
    theirs = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
    expected = images.clone()
    for i in range(6):
        for operation in orders[i].tolist() if chosen[i] else ():
            expected[i] = theirs[operation](expected[i], factors[i, operation].item())
    report("jitter", augment.color_jitter(images, chosen, orders, factors), expected, 1e-5)


if __name__ == "__main__":
    check_vit()
    check_augmentations()
    check_jitter()
