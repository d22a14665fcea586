"""Whole steps of MAE in PyTorch on the CPU, float32, with the work of facebookresearch/mae's models_mae.py in each.

    python mae_step.py --model vit_s16_224 [--batch B] [--mode eager|compile] [--threads 2]

Images are given, normalised; a quarter of the patches is kept by sorting noise. As there: the patch projection runs on all
patches, and those that are kept are taken from its results; the decoder predicts all patches and the loss is multiplied by
the mask; positions are fixed; AdamW with betas 0.9 and 0.95. Attention and AdamW are fused, which the official code's are
not.
"""

import torch
from protocol import arguments, model_config, serve
from torch import nn
from vit import MODELS, Block, PatchEmbed, parameter_count

KEPT = 0.25


def positions(side, dim):
    """[1, 1 + side^2, dim]: 0 for the class token; sines and cosines of the column, then of the row."""
    frequencies = 10000.0 ** (-torch.arange(dim // 4) / (dim / 4))
    angles = torch.arange(side)[:, None] * frequencies
    axis = torch.cat([angles.sin(), angles.cos()], 1)
    table = torch.cat([axis[None].expand(side, side, -1), axis[:, None].expand(side, side, -1)], 2)
    return torch.cat([torch.zeros(1, dim), table.reshape(side * side, dim)])[None]


def pick(tokens, rows):
    """tokens [B, N, D] at rows [B, K]."""
    return torch.gather(tokens, 1, rows[..., None].expand(-1, -1, tokens.shape[2]))


class Trunk(nn.Module):
    """Blocks and the norm after them, with fixed positions."""

    def __init__(self, side, dim, depth, heads, fused):
        super().__init__()
        self.blocks = nn.ModuleList([Block(dim, heads, fused) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.register_buffer("table", positions(side, dim), persistent=False)

    def run(self, x):
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Encoder(Trunk):
    def __init__(self, image, patch, dim, depth, heads, fused=True):
        super().__init__(image // patch, dim, depth, heads, fused)
        self.patch_embed = PatchEmbed(patch, dim)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))

    def forward(self, images, kept):
        x = pick(self.patch_embed(images) + self.table[:, 1:], kept)
        cls = self.cls_token + self.table[:, :1]
        return self.run(torch.cat([cls.expand(len(x), -1, -1), x], 1))


class Decoder(Trunk):
    def __init__(self, side, patch, inputs, dim=512, depth=8, heads=16, fused=True):
        super().__init__(side, dim, depth, heads, fused)
        self.embed = nn.Linear(inputs, dim)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.pred = nn.Linear(dim, 3 * patch**2)

    def forward(self, encoded, restore):
        x = self.embed(encoded)
        hidden = self.mask_token.repeat(len(x), restore.shape[1] + 1 - x.shape[1], 1)
        patches = pick(torch.cat([x[:, 1:], hidden], 1), restore)
        return self.pred(self.run(torch.cat([x[:, :1], patches], 1) + self.table))[:, 1:]


class MAE(nn.Module):
    def __init__(self, config, fused=True, **decoder):
        super().__init__()
        self.patch = config["patch"]
        self.encoder = Encoder(**config, fused=fused)
        self.decoder = Decoder(config["image"] // self.patch, self.patch, config["dim"], fused=fused, **decoder)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def patches(self, images):
        """[B, N, patch * patch * 3]"""
        p = self.patch
        x = images.unflatten(3, (-1, p)).unflatten(2, (-1, p))
        return torch.einsum("bchpwq->bhwpqc", x).flatten(3).flatten(1, 2)

    def forward(self, images, noise):
        order = noise.argsort(1)
        restore = order.argsort(1)
        kept = int(noise.shape[1] * KEPT)
        hidden = torch.ones_like(noise)
        hidden[:, :kept] = 0
        hidden = torch.gather(hidden, 1, restore)
        predicted = self.decoder(self.encoder(images, order[:, :kept]), restore)
        target = self.patches(images)
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6) ** 0.5
        errors = ((predicted - target) ** 2).mean(-1)
        return (errors * hidden).sum() / hidden.sum()


def main():
    parser = arguments(__doc__, MODELS)
    parser.add_argument("--unfused", action="store_true", help="attention in separate products, as the official code")
    args = parser.parse_args()
    config = model_config(args, MODELS)
    batch = config.pop("batch")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    model = MAE(config, not args.unfused)
    decayed = [p for name, p in model.named_parameters() if not (name.endswith(".bias") or p.ndim == 1)]
    others = [p for name, p in model.named_parameters() if name.endswith(".bias") or p.ndim == 1]
    groups = [{"params": others, "weight_decay": 0.0}, {"params": decayed, "weight_decay": 0.05}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95), fused=True)
    images = torch.randn(batch, 3, config["image"], config["image"])
    patches = (config["image"] // config["patch"]) ** 2
    loss_of = torch.compile(model) if args.mode == "compile" else model

    def step():
        loss = loss_of(images, torch.rand(batch, patches))
        value = loss.item()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return value

    serve(step, args, {"peer": "torch " + torch.__version__, "step": "mae", "model": args.model, **config,
                       "batch": batch, "parameters": parameter_count(model)})


if __name__ == "__main__":
    main()
