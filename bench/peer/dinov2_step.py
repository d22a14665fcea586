"""Whole steps of DINOv2 in PyTorch on the CPU, float32, with the work of facebookresearch/dinov2's ssl_meta_arch.py in each.

    python dinov2_step.py --model vit_s16_224 --batch 4 [--locals 8] [--mode eager|compile] [--threads 2]

The default configuration (ssl_default_config.yaml: softmax centring, one head of 65536 prototypes, KoLeo, LayerScale,
three tenths of the batch skip each branch) at the model's size. Crops are given, normalised; masks are drawn beforehand.
As there: the head sees class tokens and masked patches alone, these in a buffer of the largest number that the masks can
have; gradients are clipped by submodule; parameter groups by layer. Crops of the two sizes pass the encoder one after the
other, which is the official code without xFormers. AdamW is fused, which the official code's is not.
"""

import random

import torch
import torch.nn.functional as F
from distillation import (CENTRE_MOMENTUM, CLIP, STUDENT_TEMPERATURE, TEACHER_TEMPERATURE, Head, Network, mask_rows,
                          multi_crop_arguments, noise_crops, teacher_of)
from protocol import model_config, serve
from torch import nn
from vit import MODELS, ViT, parameter_count

PROTOTYPES = 65536
DROP = 0.3
MASKED, RATIOS = 0.5, (0.1, 0.5)
LAYER_DECAY, PATCH_RATE = 0.9, 0.2


def network(config, prototypes, drop=DROP, scale=1e-5, **head):
    encoder = ViT(**config, masked=True, drops=[drop] * config["depth"], scale=scale, subset=True)
    return Network(encoder, Head(config["dim"], prototypes, **head))


class Centred(nn.Module):
    """Softmax less a moving centre, which is brought up to date when it is next used."""

    def __init__(self, prototypes):
        super().__init__()
        self.register_buffer("centre", torch.zeros(1, prototypes))
        self.mean = None

    def forward(self, logits, temperature):
        if self.mean is not None:
            self.centre = self.centre * CENTRE_MOMENTUM + self.mean * (1 - CENTRE_MOMENTUM)
        self.mean = logits.mean(0, keepdim=True)
        return F.softmax((logits - self.centre) / temperature, -1)


def koleo(x):
    x = F.normalize(x, eps=1e-8, dim=-1)
    dots = x @ x.t()
    dots.view(-1)[::len(x) + 1].fill_(-1)
    nearest = dots.max(1)[1]
    return -torch.log(F.pairwise_distance(x, x[nearest], 2, 1e-8) + 1e-8).mean()


class Masks:
    """What the collate function gives: masks, rows of masked patches, their weights, the largest number of rows."""

    def __init__(self, mask, room):
        self.mask, self.room = mask, room
        self.rows = mask.flatten().nonzero().flatten()
        self.weight = (1 / mask.sum(-1).clamp(min=1.0)).unsqueeze(-1).expand_as(mask)[mask]


@torch.no_grad()
def targets(teacher, centred, crops, masks, temperature):
    """The teacher's probabilities: of class tokens [2, B, K], the two views exchanged, and of masked patches [M, K]."""
    tokens = teacher.encoder(crops)
    first, second = tokens[:, 0].chunk(2)
    count, width = len(crops), tokens.shape[-1]
    buffer = tokens.new_zeros(count + masks.room, width)
    buffer[:count] = torch.cat([second, first])
    buffer[count:count + len(masks.rows)] = tokens[:, 1:].flatten(0, 1)[masks.rows]
    logits = teacher.head(buffer)
    classes = centred[0](logits[:count], temperature)
    return classes.view(2, count // 2, -1), centred[1](logits[count:count + len(masks.rows)], temperature)


def forward(student, teacher, centred, crops, local, masks, temperature=TEACHER_TEMPERATURE):
    """Losses: of small class tokens, of global ones, of patches, KoLeo."""
    of_classes, of_patches = targets(teacher, centred, crops, masks, temperature)
    batch, locals_ = len(crops) // 2, len(local) // (len(crops) // 2)
    tokens = student.encoder(crops, masks.mask)
    small = student.encoder(local)[:, 0]
    classes = tokens[:, 0]
    buffer = tokens.new_zeros(masks.room, tokens.shape[-1])
    buffer[:len(masks.rows)] = tokens[:, 1:].flatten(0, 1)[masks.rows]
    logits = student.head(torch.cat([small, classes, buffer]))
    of_small, of_global, patches = logits.split([len(small), len(classes), masks.room])
    terms = 2 + 2 * locals_
    local_loss = 0
    for crop in of_small.split(batch):
        probabilities = F.log_softmax(crop / STUDENT_TEMPERATURE, -1)
        for target in of_classes:
            local_loss = local_loss - (target * probabilities).sum(-1).mean()
    exchanged = F.log_softmax(of_global / STUDENT_TEMPERATURE, -1)
    global_loss = -(of_classes.flatten(0, 1) * exchanged).sum(-1).mean() * 2
    errors = (of_patches * F.log_softmax(patches[:len(masks.rows)] / STUDENT_TEMPERATURE, -1)).sum(-1)
    patch_loss = -(errors * masks.weight).sum() / len(crops)
    return local_loss / terms, global_loss / terms, patch_loss, sum(koleo(view) for view in classes.chunk(2))


def total(losses):
    local_loss, global_loss, patch, spread = losses
    return local_loss + global_loss + patch + 0.1 * spread


def groups(student, depth, rate):
    """Parameter groups: rates by layer, no decay for biases, norms and LayerScale."""
    found = {}
    for name, parameter in student.named_parameters():
        factor = 1.0
        if name.startswith("encoder."):
            part = name.split(".")
            level = int(part[2]) + 1 if part[1] == "blocks" else depth + 1 if part[1] == "norm" else 0
            factor = LAYER_DECAY ** (depth + 1 - level) * (PATCH_RATE if part[1] == "patch_embed" else 1.0)
        decays = not (name.endswith(".bias") or "norm" in name or "gamma" in name)
        found.setdefault((factor, decays, "last_layer" in name), []).append(parameter)
    return [{"params": parameters, "lr": rate * factor, "weight_decay": 0.04 if decays else 0.0}
            for (factor, decays, _), parameters in found.items()]


def draw_masks(batch, patches):
    """As many masked views as the official rule, one of each level of ratios."""
    count = int(2 * batch * MASKED)
    levels = torch.linspace(*RATIOS, count + 1).tolist()
    counts = [int(patches * random.uniform(low, high)) for low, high in zip(levels, levels[1:])]
    counts += [0] * (2 * batch - count)
    random.shuffle(counts)
    return Masks(mask_rows(patches, counts), sum(int(patches * high) for high in levels[1:]))


def main():
    args = multi_crop_arguments(__doc__).parse_args()
    config = model_config(args, MODELS)
    batch = config.pop("batch")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    prototypes = args.prototypes or PROTOTYPES
    student = network(config, prototypes)
    teacher = teacher_of(student, network(config, prototypes))
    centred = (Centred(prototypes), Centred(prototypes))
    optimizer = torch.optim.AdamW(groups(student, config["depth"], 1e-4), fused=True)
    crops, local = noise_crops(batch, config["image"], args.locals, args.local_size)
    masks = [draw_masks(batch, (config["image"] // config["patch"]) ** 2) for _ in range(16)]
    run = torch.compile(forward) if args.mode == "compile" else forward
    ours, theirs = list(student.parameters()), list(teacher.parameters())
    steps = 0

    def step():
        nonlocal steps
        optimizer.zero_grad(set_to_none=True)
        loss = total(run(student, teacher, centred, crops, local, masks[steps % len(masks)]))
        steps += 1
        loss.backward()
        for module in (student.encoder, student.head):
            nn.utils.clip_grad_norm_(module.parameters(), CLIP)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_mul_(theirs, 0.992)
            torch._foreach_add_(theirs, ours, alpha=1 - 0.992)
        return loss.item()

    serve(step, args, {"peer": "torch " + torch.__version__, "step": "dinov2", "model": args.model, **config,
                       "batch": batch, "parameters": parameter_count(student)})


if __name__ == "__main__":
    main()
