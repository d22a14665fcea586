"""Whole training steps of a plain ViT in PyTorch: forward, backward, fused AdamW, float32, on the CPU.

    python step.py --model vit_ti4_32|vit_s16_224|quickstart [--batch B] [--mode eager|compile] [--threads 2]

The loss is the mean square of (Linear(mean of the patch tokens) - a fixed target), [B, 512].
`quickstart` takes --dim --depth --heads --patch --image. See protocol.py for what it reads and prints.
"""

import torch
from protocol import arguments, model_config, serve
from torch import nn
from vit import MODELS, ViT, parameter_count

WIDTH = 512


class Regression(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.encoder = ViT(**config)
        self.head = nn.Linear(config["dim"], WIDTH)

    def forward(self, images, target):
        pooled = self.encoder(images)[:, 1:].mean(1)
        return (self.head(pooled) - target).square().mean()


def main():
    args = arguments(__doc__, MODELS).parse_args()
    config = model_config(args, MODELS)
    batch = config.pop("batch")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    model = Regression(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.05, fused=True)
    images = torch.randn(batch, 3, config["image"], config["image"])
    target = torch.randn(batch, WIDTH)
    loss_of = torch.compile(model) if args.mode == "compile" else model

    def step():
        loss = loss_of(images, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    serve(step, args, {"peer": "torch " + torch.__version__, "step": "regression", "model": args.model, **config,
                       "batch": batch, "parameters": parameter_count(model)})


if __name__ == "__main__":
    main()
