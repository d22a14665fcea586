"""A vision transformer: pre-norm blocks, one class token, learnable positions, names as in timm.

Beyond the plain one: masked patches, small crops, LayerScale, and both kinds of stochastic depth.
"""

import torch
import torch.nn.functional as F
from torch import nn

MODELS = {
    "vit_ti4_32": dict(image=32, patch=4, dim=192, depth=12, heads=3, batch=64),
    "vit_s16_224": dict(image=224, patch=16, dim=384, depth=12, heads=6, batch=8),
    "quickstart": dict(image=32, patch=4, dim=128, depth=6, heads=4, batch=64),
}


class Attention(nn.Module):
    """`fused`: torch's own kernel. Else the products and the softmax by themselves, as DINO's and iBOT's code."""

    def __init__(self, dim, heads, fused=True):
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            x = F.scaled_dot_product_attention(q, k, v)
        else:
            x = (q @ k.transpose(-2, -1) * (dim // self.heads) ** -0.5).softmax(-1) @ v
        return self.proj(x.transpose(1, 2).reshape(batch, tokens, dim))


class Mlp(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    def __init__(self, dim, value):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), value))

    def forward(self, x):
        return x * self.gamma


class Block(nn.Module):
    """`drop` drops residual branches in training: above 0.1 with `subset`, a share of the batch skips the branch and is
    not computed (DINOv2); else each sample's result is multiplied by 0 or 1 / (1 - drop)."""

    def __init__(self, dim, heads, fused=True, scale=None, drop=0.0, subset=False):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads, fused)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim)
        self.ls1, self.ls2 = (LayerScale(dim, scale) if scale else nn.Identity() for _ in range(2))
        self.drop, self.subset = drop, subset

    def residual(self, x, branch):
        if self.drop == 0 or not self.training:
            return x + branch(x)
        batch = len(x)
        if self.subset and self.drop > 0.1:
            kept = max(int(batch * (1 - self.drop)), 1)
            rows = torch.randperm(batch)[:kept]
            change = branch(x[rows]).flatten(1)
            return torch.index_add(x.flatten(1), 0, rows, change, alpha=batch / kept).view_as(x)
        keep = 1 - self.drop
        kept = torch.rand(batch, 1, 1).add_(keep).floor_()
        return x + branch(x).div(keep) * kept

    def forward(self, x):
        x = self.residual(x, lambda y: self.ls1(self.attn(self.norm1(y))))
        return self.residual(x, lambda y: self.ls2(self.mlp(self.norm2(y))))


class PatchEmbed(nn.Module):
    def __init__(self, patch, dim):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, patch)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class ViT(nn.Module):
    """[B, 3, H, H] -> [B, 1 + N, dim] after the final norm, class token first. Other sizes than `image` are small crops,
    whose positions are interpolated by DINO's rule. `masked`: it has a mask token. `drops`: a rate for each block."""

    def __init__(self, image, patch, dim, depth, heads, masked=False, drops=None, **block):
        super().__init__()
        self.patch, self.side = patch, image // patch
        self.patch_embed = PatchEmbed(patch, dim)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + self.side**2, dim))
        if masked:
            self.mask_token = nn.Parameter(torch.zeros(1, dim))
        drops = drops or [0.0] * depth
        self.blocks = nn.ModuleList([Block(dim, heads, drop=drop, **block) for drop in drops])
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def positions(self, side):
        if side == self.side:
            return self.pos_embed
        table = self.pos_embed[:, 1:].reshape(1, self.side, self.side, -1).permute(0, 3, 1, 2)
        factor = (side + 0.1) / self.side
        table = F.interpolate(table, scale_factor=(factor, factor), mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], table.permute(0, 2, 3, 1).flatten(1, 2)], 1)

    def forward(self, x, mask=None):
        """mask [B, N] bool: patches whose embedding is replaced."""
        side = x.shape[-1] // self.patch
        x = self.patch_embed(x)
        if mask is not None:
            x = torch.where(mask.unsqueeze(-1), self.mask_token.unsqueeze(0), x)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.positions(side)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def parameter_count(module):
    """Trained numbers."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
