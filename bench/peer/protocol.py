"""Line protocol of the peer benchmarks: a parent process interleaves steps of two programs.

On standard output, once: {"ready": true, ...facts of the program...}. Then for each line on standard input:
    run K   runs K steps and prints {"milliseconds": [K numbers], "loss": number, "peakMemoryMB": number,
            "stepPeakMemoryMB": number}
    run     the same with K = --steps
    quit    ends (so does the end of the input)
Anything else prints {"error": text}. Each answer is one line. Nothing else is printed to standard output.

peakMemoryMB is the largest resident set since the start, warm-up and compilation included; stepPeakMemoryMB that
since `ready` (Linux; elsewhere null).
"""

import argparse
import json
import os
import resource
import sys
import time


def arguments(description, models):
    """Flags that all peers share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", choices=sorted(models), required=True)
    parser.add_argument("--batch", type=int, help="images (of each view) a step; default: the model's")
    parser.add_argument("--mode", choices=["eager", "compile"], default="eager")
    parser.add_argument("--steps", type=int, default=5, help="steps of a `run` without a number")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=2, help="steps before `ready`; includes compilation")
    parser.add_argument("--seed", type=int, default=0)
    for name in ("image", "patch", "dim", "depth", "heads"):
        parser.add_argument(f"--{name}", type=int, help=f"overrides the model's {name}")
    return parser


def model_config(args, models):
    """The named model with the flags' overrides: {image, patch, dim, depth, heads, batch}."""
    config = dict(models[args.model])
    for name in config:
        if getattr(args, name) is not None:
            config[name] = getattr(args, name)
    if config["image"] % config["patch"]:
        sys.exit(f"image {config['image']} is not a multiple of patch {config['patch']}")
    if config["dim"] % config["heads"]:
        sys.exit(f"dim {config['dim']} is not a multiple of heads {config['heads']}")
    return config


def peak_memory_mb():
    """Largest resident set so far (ru_maxrss is in KiB, on macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def forget_peak():
    """Starts the resident set's high-water mark anew; false where the system cannot."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        return True
    except OSError:
        return False


def answer(value):
    print(json.dumps(value), flush=True)


def timed(step):
    start = time.perf_counter()
    loss = step()
    return 1000 * (time.perf_counter() - start), loss


def serve(step, args, facts):
    """Warms up, says ready, and answers until the end. `step()` runs one step and returns its loss as a float."""
    warmup = [timed(step)[0] for _ in range(args.warmup)]
    start_peak = peak_memory_mb()
    answer({"ready": True, **facts, "mode": args.mode, "threads": args.threads, "pid": os.getpid(),
            "warmupMilliseconds": warmup, "peakMemoryMB": start_peak})
    forgotten = forget_peak()
    for line in sys.stdin:
        words = line.split()
        if not words:
            continue
        if words == ["quit"]:
            return
        if words[0] != "run" or len(words) > 2 or not all(word.isdigit() for word in words[1:]):
            answer({"error": f"expected `run K` or `quit`, got {line.strip()!r}"})
            continue
        results = [timed(step) for _ in range(int(words[1]) if len(words) == 2 else args.steps)]
        step_peak = peak_memory_mb()
        answer({"milliseconds": [milliseconds for milliseconds, _ in results],
                "loss": results[-1][1] if results else None, "peakMemoryMB": max(start_peak, step_peak),
                "stepPeakMemoryMB": step_peak if forgotten else None})
