"""Whole steps of Ours(VICReg, all, se2), or of VICReg, in PyTorch on the CPU, augmentation included.

    python ours_vicreg_step.py --model quickstart|vit_s16_224 [--method ours|vicreg] [--batch B]
                               [--mode eager|compile] [--threads 2]

A step starts from two independent crops of each image as uint8 [B, 3, H, W], cropped and flipped, as a loader gives
them. Then: the pipeline "all" on both; v2 = g(u, theta) and the in-between targets u_k = g(u, k theta / 3), k = 1, 2,
with g = se2; one ViT forward of both views; Linear to 512 channels a patch, 256 invariant and 256 equivariant;
expander and VICReg loss on the mean of the invariant ones (batch norm per view, as in SIE's code); two decoders on
the equivariant channels of both views; backward; fused AdamW. float32. `--method vicreg` is the same without g,
targets and decoders, with all 512 channels invariant.

`--mode compile` compiles the model with its loss, and each colour operation for any number of samples.
"""

import augment
import torch
import torch.nn.functional as F
from protocol import arguments, model_config, serve
from torch import nn
from vit import MODELS, ViT, parameter_count

COUNT = 2
WIDTH = 512
DECODER_WIDTHS = (256, 128, 64, 32, 3)


def expander(width):
    """SIE's 2048-2048-2048 for 512 channels, narrowed in proportion."""
    hidden = 4 * width
    return nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
                         nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU(),
                         nn.Linear(hidden, hidden, bias=False))


class Decoder(nn.Module):
    """[B, N, inputs] -> [B, 3, H, W]: linear, then four convolutions with GELU between the layers.

    As many of the four double the grid as the patch needs."""

    def __init__(self, inputs, patch, upsample="last"):
        super().__init__()
        doublings = patch.bit_length() - 1
        if patch != 2**doublings or doublings > 4:
            raise ValueError(f"patch {patch}: expected 1, 2, 4, 8 or 16")
        self.linear = nn.Linear(inputs, DECODER_WIDTHS[0])
        self.stages = nn.ModuleList()
        for i, (before, after) in enumerate(zip(DECODER_WIDTHS, DECODER_WIDTHS[1:])):
            doubles = i < doublings if upsample == "first" else i >= 4 - doublings
            self.stages.append(nn.ConvTranspose2d(before, after, 4, 2, 1) if doubles
                               else nn.Conv2d(before, after, 3, 1, 1))

    def forward(self, tokens):
        x = self.linear(tokens)
        side = round(x.shape[1] ** 0.5)
        x = x.transpose(1, 2).unflatten(2, (side, side))
        for stage in self.stages:
            x = stage(F.gelu(x))
        return x


def variance_covariance(x):
    """SIE's variance hinge and covariance penalty of one view's embeddings, [B, D]."""
    batch, width = x.shape
    x = x - x.mean(0)
    covariance = x.T @ x / (batch - 1)
    diagonal = covariance.diagonal()
    hinge = F.relu(1 - (diagonal + 1e-4).sqrt()).mean() / 2
    return hinge, (covariance.square().sum() - diagonal.square().sum()) / width


def vicreg_loss(x, y):
    (variance_x, covariance_x), (variance_y, covariance_y) = variance_covariance(x), variance_covariance(y)
    return 10 * F.mse_loss(x, y) + 10 * (variance_x + variance_y) + covariance_x + covariance_y


class Ours(nn.Module):
    def __init__(self, config, method, upsample):
        super().__init__()
        self.invariant = WIDTH // 2 if method == "ours" else WIDTH
        self.encoder = ViT(**config)
        self.head = nn.Linear(config["dim"], WIDTH)
        self.expander = expander(self.invariant)
        self.decoders = nn.ModuleList(Decoder(2 * (WIDTH - self.invariant), config["patch"], upsample)
                                      for _ in range(COUNT if method == "ours" else 0))

    def forward(self, v1, v2, targets):
        patches = self.encoder(torch.cat([v1, v2]))[:, 1:]
        first, second = self.head(patches).chunk(2)
        loss = vicreg_loss(self.expander(first[..., :self.invariant].mean(1)),
                           self.expander(second[..., :self.invariant].mean(1)))
        if self.decoders:
            both = torch.cat([first[..., self.invariant:], second[..., self.invariant:]], 2)
            errors = [F.mse_loss(decoder(both), target) for decoder, target in zip(self.decoders, targets)]
            loss = loss + sum(errors) / len(errors)
        return loss


def main():
    parser = arguments(__doc__, MODELS)
    parser.add_argument("--method", choices=["ours", "vicreg"], default="ours")
    parser.add_argument("--blur", type=float, nargs=2, default=[0.0, 0.9], metavar=("VIEW1", "VIEW2"),
                        help="blur probabilities; default: those DINOv2's code has in effect (declared: 1.0 0.1)")
    parser.add_argument("--upsample", choices=["first", "last"], default="last",
                        help="which of the decoder's four stages double where fewer than four do")
    args = parser.parse_args()
    config = model_config(args, MODELS)
    batch = config.pop("batch")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    model = Ours(config, args.method, args.upsample)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
    crops = torch.randint(0, 256, (2, batch, 3, config["image"], config["image"]), dtype=torch.uint8)
    compiled = args.mode == "compile"
    loss_of = torch.compile(model) if compiled else model
    operations = tuple(torch.compile(f, dynamic=True) for f in augment.JITTER) if compiled else augment.JITTER

    @torch.no_grad()
    def views():
        v1 = augment.base_pipeline(crops[0] / 255, args.blur[0], 0.0, operations)
        u = augment.base_pipeline(crops[1] / 255, args.blur[1], 0.2, operations)
        *targets, v2 = augment.path(u, augment.random_se2(batch), COUNT) if args.method == "ours" else [u]
        return augment.normalize(v1), augment.normalize(v2), [augment.normalize(target) for target in targets]

    if compiled:
        # One sample is compiled apart from more: see both before anything is timed.
        with torch.no_grad():
            for operation in operations:
                for samples in (1, 2, 3):
                    operation(torch.rand(samples, *crops.shape[2:]), torch.ones(samples))

    def step():
        loss = loss_of(*views())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    serve(step, args, {"peer": "torch " + torch.__version__, "step": args.method, "model": args.model, **config,
                       "batch": batch, "parameters": parameter_count(model)})


if __name__ == "__main__":
    main()
