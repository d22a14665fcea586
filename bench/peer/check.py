"""Checks the peers: python check.py, with timm, torchvision and safetensors installed.

The ViT and the augmentations against timm and torchvision. Whole steps of iBOT, DINOv2 and MAE on the weights and inputs
of test/fixtures/methods, on which the tests check ours: the same losses and gradients, so both sides do the same step.
"""

import json
import pathlib

import augment
import dinov2_step
import ibot_step
import mae_step
import torch
from safetensors import safe_open
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


class Fixture:
    def __init__(self, name):
        path = pathlib.Path(__file__).parents[2] / "test" / "fixtures" / "methods" / f"{name}.safetensors"
        with safe_open(path, "pt") as file:
            self.tensors = {key: file.get_tensor(key) for key in file.keys()}
            self.config = json.loads(file.metadata()["config"])

    def __getitem__(self, name):
        return self.tensors[name]

    def under(self, prefix):
        return {key[len(prefix):]: value for key, value in self.tensors.items() if key.startswith(prefix)}

    def model(self):
        names = dict(image="imageSize", patch="patchSize", dim="embedDim", depth="depth", heads="numHeads")
        return {name: self.config[key] for name, key in names.items()}


def check_gradients(name, model, expected):
    found = {key: parameter.grad for key, parameter in model.named_parameters()}
    assert found.keys() == expected.keys(), f"{name}: {found.keys() ^ expected.keys()}"
    error = max(((found[key] - value).norm() / value.norm()).item() for key, value in expected.items())
    print(f"{name:12} gradients {error:.1e}")
    assert error < 1e-4, f"gradients of {name} differ by {error}"


def check_distillation(name, step, **options):
    fixture = Fixture(f"step_{name}")
    sizes = fixture.config
    networks = []
    for part in ("student", "teacher"):
        net = step.network(fixture.model(), sizes["outputDim"], drop=0, hidden=sizes["hiddenDim"],
                           bottleneck=sizes["bottleneckDim"], **options)
        net.load_state_dict(fixture.under(f"{part}."))
        networks.append(net)
    crops = augment.normalize(torch.cat([fixture["v1"], fixture["u"]]) / 255)
    # Sample by sample there, crop by crop here.
    local = fixture["local"].unflatten(0, (sizes["batch"], sizes["locals"])).transpose(0, 1).flatten(0, 1)
    return fixture, networks, crops, augment.normalize(local / 255), fixture["mask"].flatten(0, 1).bool()


def check_ibot():
    for fused in (False, True):
        fixture, (student, teacher), crops, local, mask = check_distillation("ibot", ibot_step, fused=fused)
        loss = ibot_step.Loss(fixture.config["outputDim"])
        loss.centre, loss.patch_centre = fixture["centre"][None], fixture["patchCentre"][None, None]
        cls, patch, _ = ibot_step.forward(student, teacher, loss, crops, local, mask,
                                          fixture.config["teacherTemperature"])
        report("iBOT cls", cls, fixture["cls"], 1e-5)
        report("iBOT patch", patch, fixture["patch"], 1e-5)
        report("centre", loss.centre[0], fixture["nextCentre"], 1e-5)
        report("patch centre", loss.patch_centre[0, 0], fixture["nextPatchCentre"], 1e-5)
        (cls + patch).backward()
        check_gradients("iBOT", student, fixture.under("gradients."))


def check_dinov2():
    fixture, (student, teacher), crops, local, mask = check_distillation("dinov2", dinov2_step, scale=0.1)
    centred = [dinov2_step.Centred(fixture.config["outputDim"]) for _ in range(2)]
    for one, name in zip(centred, ("centre", "patchCentre")):
        one.centre = fixture[name][None]
    masks = dinov2_step.Masks(mask, int(mask.sum()) + 3)
    losses = dinov2_step.forward(student, teacher, centred, crops, local, masks, fixture.config["teacherTemperature"])
    local_loss, global_loss, patch, spread = losses
    report("DINOv2 cls", local_loss + global_loss, fixture["cls"], 1e-5)
    report("DINOv2 patch", patch, fixture["patch"], 1e-5)
    report("KoLeo", spread, fixture["koleo"], 1e-5)
    for one, name in zip(centred, ("nextCentre", "nextPatchCentre")):
        one(torch.zeros(1, fixture.config["outputDim"]), 1.0)  # the next use brings it up to date
        report(name, one.centre[0], fixture[name], 1e-5)
    dinov2_step.total(losses).backward()
    check_gradients("DINOv2", student, fixture.under("gradients."))


def check_mae():
    fixture = Fixture("mae")
    sizes = fixture.config
    kept = fixture["kept"].long()
    # Noise that keeps these patches, in this order.
    noise = torch.full((len(kept), (sizes["imageSize"] // sizes["patchSize"]) ** 2), 2.0)
    noise.scatter_(1, kept, torch.linspace(0, 1, kept.shape[1]).expand(len(kept), -1))
    for fused in (True, False):
        model = mae_step.MAE(fixture.model(), fused, depth=sizes["decoderDepth"], heads=sizes["decoderHeads"],
                             **{"dim": sizes["decoderDim"]})
        model.load_state_dict(fixture.under("parameters."))
        loss = model(augment.normalize(fixture["v1"]), noise)
        report("MAE", loss, fixture["loss"], 1e-5)
        loss.backward()
        check_gradients("MAE", model, fixture.under("gradients."))


if __name__ == "__main__":
    check_vit()
    check_augmentations()
    check_jitter()
    check_ibot()
    check_dinov2()
    check_mae()
