"""Whole steps of iBOT in PyTorch on the CPU, float32, with the work of bytedance/ibot's main_ibot.py in each.

    python ibot_step.py --model vit_s16_224 --batch 4 [--locals 8] [--mode eager|compile] [--threads 2]

Crops are given, normalised; masks are drawn beforehand. As there: all tokens of the global crops pass the head, of
teacher and student, and all tokens of the small ones, of which only class tokens are used; the loss on patches is
computed for all of them and multiplied by the mask; attention is not fused; the gradient is clipped tensor by tensor;
two parameter groups. AdamW is fused, which the official code's is not.
"""

import random

import torch
import torch.nn.functional as F
from distillation import (CENTRE_MOMENTUM, CLIP, STUDENT_TEMPERATURE, TEACHER_TEMPERATURE, Head, Network, mask_rows,
                          multi_crop_arguments, noise_crops, teacher_of)
from protocol import model_config, serve
from torch import nn
from vit import MODELS, ViT, parameter_count

PROTOTYPES = 8192
DROP = 0.1


def network(config, prototypes, drop=DROP, fused=False, **head):
    drops = torch.linspace(0, drop, config["depth"]).tolist()
    return Network(ViT(**config, masked=True, drops=drops, fused=fused), Head(config["dim"], prototypes, **head))


class Loss(nn.Module):
    def __init__(self, prototypes):
        super().__init__()
        self.register_buffer("centre", torch.zeros(1, prototypes))
        self.register_buffer("patch_centre", torch.zeros(1, 1, prototypes))

    def forward(self, student, teacher, student_local, mask, temperature=TEACHER_TEMPERATURE):
        """student, teacher: logits of class tokens [2 B, K] and patches [2 B, N, K]; mask [2 B, N].
        The losses of class tokens and patches."""
        classes = (torch.cat([student[0], student_local]) / STUDENT_TEMPERATURE).split(len(student[0]) // 2)
        patches = (student[1] / STUDENT_TEMPERATURE).chunk(2)
        targets = F.softmax((teacher[0] - self.centre) / temperature, -1).detach().chunk(2)
        patch_targets = F.softmax((teacher[1] - self.patch_centre) / temperature, -1).detach().chunk(2)
        masks = mask.chunk(2)
        of_classes, of_patches = [], []
        for q, target in enumerate(targets):
            for v, logits in enumerate(classes):
                if v == q:
                    errors = -(patch_targets[q] * F.log_softmax(patches[v], -1)).sum(-1)
                    errors = (errors * masks[v].float()).sum(-1) / masks[v].sum(-1).clamp(min=1.0)
                    of_patches.append(errors.mean())
                else:
                    of_classes.append(-(target * F.log_softmax(logits, -1)).sum(-1).mean())
        self.follow(*teacher)
        return sum(of_classes) / len(of_classes), sum(of_patches) / len(of_patches)

    @torch.no_grad()
    def follow(self, classes, patches):
        momentum = CENTRE_MOMENTUM
        self.centre = self.centre * momentum + classes.mean(0, keepdim=True) * (1 - momentum)
        of_patches = patches.mean(1).mean(0, keepdim=True)
        self.patch_centre = self.patch_centre * momentum + of_patches * (1 - momentum)


def logits(net, images, mask=None):
    """Of class tokens and of all patches."""
    z = net.head.bottleneck(net.encoder(images, mask))
    return net.head.last_layer(z[:, 0]), net.head.last_layer(z[:, 1:])


def forward(student, teacher, loss, crops, local, mask, temperature=TEACHER_TEMPERATURE):
    """The losses of class tokens and patches, and how often student and teacher agree."""
    with torch.no_grad():
        taught = logits(teacher, crops)
    learned = logits(student, crops, mask)
    of_local, _ = logits(student, local)
    losses = loss(learned, taught, of_local, mask, temperature)
    first, second = taught[0].chunk(2)[0], learned[0].chunk(2)[1]
    return *losses, (first.argmax(1) == second.argmax(1)).float().mean()


def mask_counts(batch, patches):
    """Half of the views have none, the others a tenth to a half of the patches."""
    return [int(random.choice((0, random.uniform(0.1, 0.5))) * patches) for _ in range(2 * batch)]


def main():
    parser = multi_crop_arguments(__doc__)
    parser.add_argument("--fused", action="store_true", help="attention by torch's fused kernel, unlike the official code")
    args = parser.parse_args()
    config = model_config(args, MODELS)
    batch = config.pop("batch")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    prototypes = args.prototypes or PROTOTYPES
    student = network(config, prototypes, fused=args.fused)
    teacher = teacher_of(student, network(config, prototypes, fused=args.fused))
    loss = Loss(prototypes)
    decayed = [p for name, p in student.named_parameters() if not (name.endswith(".bias") or p.ndim == 1)]
    others = [p for name, p in student.named_parameters() if name.endswith(".bias") or p.ndim == 1]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, weight_decay=0.04, fused=True)
    crops, local = noise_crops(batch, config["image"], args.locals, args.local_size)
    patches = (config["image"] // config["patch"]) ** 2
    masks = [mask_rows(patches, mask_counts(batch, patches)) for _ in range(16)]
    run = torch.compile(forward) if args.mode == "compile" else forward
    steps = 0

    def step():
        nonlocal steps
        mask = masks[steps % len(masks)]
        steps += 1
        cls, patch, agreement = run(student, teacher, loss, crops, local, mask)
        total = cls + patch
        value = total.item()
        optimizer.zero_grad()
        total.backward()
        for parameter in student.parameters():
            norm = parameter.grad.norm(2)
            norm.item()
            factor = CLIP / (norm + 1e-6)
            if factor < 1:
                parameter.grad.mul_(factor)
        optimizer.step()
        with torch.no_grad():
            for ours, theirs in zip(student.parameters(), teacher.parameters()):
                theirs.mul_(0.996).add_((1 - 0.996) * ours)
        agreement.item()
        return value

    serve(step, args, {"peer": "torch " + torch.__version__, "step": "ibot", "model": args.model, **config,
                       "batch": batch, "parameters": parameter_count(student)})


if __name__ == "__main__":
    main()
