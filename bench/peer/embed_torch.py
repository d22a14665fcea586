"""PyTorch in bench/embed.mjs: torchvision's transforms in two DataLoader workers, transformers' ViT in eager mode.

python embed_torch.py FOLDER BATCH
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import torch

try:
    import torchvision  # noqa: F401
except RuntimeError:
    # A torchvision built for another torch lacks its compiled operators; transforms of PIL images do not need them.
    torch.library.register_fake = lambda *args, **kwargs: lambda function: function
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from transformers import AutoModel

folder, batch = Path(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(os.cpu_count())


class Images(Dataset):
    def __init__(self):
        self.paths = sorted((folder / "images").iterdir())
        self.transform = transforms.Compose(
            [
                transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


model = AutoModel.from_pretrained(folder / "encoder").eval()
start, cpu, count, feature = 0.0, 0.0, 0, None


def cpu_seconds():
    """Of this process and the workers that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


with torch.inference_mode():
    for images in DataLoader(Images(), batch_size=batch, num_workers=2):
        features = model(images).last_hidden_state[:, 0]
        if feature is not None:
            count += len(features)
        else:
            feature = features[0].tolist()
            start, cpu = time.perf_counter(), cpu_seconds()
seconds = time.perf_counter() - start
peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e3
cpu = (cpu_seconds() - cpu) / count * 1000
print(json.dumps({"imagesPerSecond": count / seconds, "cpuMilliseconds": cpu, "peakMemoryMB": peak, "feature": feature}))
