"""What the peers of iBOT and DINOv2 share: the head, crops and masks, gradients and the teacher."""

import random
import warnings

import torch
import torch.nn.functional as F
from protocol import arguments
from torch import nn
from vit import MODELS

STUDENT_TEMPERATURE, TEACHER_TEMPERATURE, CENTRE_MOMENTUM = 0.1, 0.04, 0.9
CLIP = 3.0
# torch prefers another way to write it since; the official codes use this one.
warnings.filterwarnings("ignore", message=".*weight_norm.*", category=FutureWarning)


class Head(nn.Module):
    """[..., inputs] -> [..., prototypes]: three linear layers, length 1, a weight-normalised layer."""

    def __init__(self, inputs, prototypes, hidden=2048, bottleneck=256):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(),
                                 nn.Linear(hidden, bottleneck))
        for layer in self.mlp[::2]:
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        self.last_layer = nn.utils.weight_norm(nn.Linear(bottleneck, prototypes, bias=False))
        self.last_layer.weight_g.data.fill_(1)

    def bottleneck(self, x):
        return F.normalize(self.mlp(x), dim=-1)

    def forward(self, x):
        return self.last_layer(self.bottleneck(x))


class Network(nn.Module):
    def __init__(self, encoder, head):
        super().__init__()
        self.encoder, self.head = encoder, head


def teacher_of(student, teacher):
    """A network with the student's values, without gradients and stochastic depth."""
    teacher.load_state_dict(student.state_dict())
    teacher.eval()
    for parameter in teacher.parameters():
        parameter.requires_grad = False
    return teacher


def multi_crop_arguments(description):
    parser = arguments(description, MODELS)
    parser.add_argument("--locals", type=int, default=8, help="small crops of each image")
    parser.add_argument("--local-size", type=int, default=96, help="their side in pixels")
    parser.add_argument("--prototypes", type=int, help="of the head; default: the official number")
    return parser


def noise_crops(batch, image, count, size):
    """Normalised images: the global crops [2 B, 3, H, W] and the small ones [count B, 3, h, w], crop by crop."""
    return torch.randn(2 * batch, 3, image, image), torch.randn(count * batch, 3, size, size)


def mask_rows(patches, counts):
    """[len(counts), N] bool: so many masked patches in each row, anywhere. Official masks are blocks of as many; what is
    computed depends on their number alone."""
    masks = torch.zeros(len(counts), patches, dtype=torch.bool)
    for row, count in zip(masks, counts):
        row[random.sample(range(patches), count)] = True
    return masks
