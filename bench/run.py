"""Runs every timing beside its peer and prints one table of ratios.

    cargo build --release -p microtome-cli
    cargo build --release -p microtome-kernels --example peak
    cargo build --release -p microtome-h5ad --example throughput
    cargo build --release -p microtome-eval --example integration
    python -m venv venv && venv/bin/pip install -r bench/requirements.txt
    venv/bin/python bench/run.py --vocab GENEFORMER_V2_DICTIONARIES --data cells.h5ad... [--only forward lengths reading memory integration]

Ours and the peer take turns in one process tree; figures are medians. Ratios above 1 mean that ours is faster (memory: that it grew).
scib-metrics is looked for in the Python given by `--scib`, because it wants other versions of the same packages.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile

import lengths
import memory
import reading
import torch_stack

HERE = os.path.dirname(os.path.abspath(__file__))


def machine():
    with open("/proc/cpuinfo") as f:
        info = f.read()
    model = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), platform.processor())
    flags = [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if flag in info]
    return f"{model}, {os.cpu_count()} cores, {', '.join(flags)}, load {os.getloadavg()[0]:.1f} at the start"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default=os.path.join(HERE, "..", "target", "release"), help="folder of the release build")
    parser.add_argument("--vocab", required=True, help="folder with Geneformer's V2 dictionaries")
    parser.add_argument("--data", nargs="+", required=True, help="files of real cells with Ensembl ids")
    parser.add_argument("--only", nargs="+", default=["forward", "lengths", "reading", "memory", "integration"])
    parser.add_argument("--cells", type=int, default=48, help="cells per file whose forward pass is timed")
    parser.add_argument("--many", nargs=2, type=int, default=[10_000, 200_000], help="numbers of cells between which memory is compared")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--scib", default=sys.executable, help="Python with scib-metrics")
    args = parser.parse_args()
    program, example = os.path.join(args.target, "microtome"), os.path.join(args.target, "examples")

    print(f"{machine()}, {args.threads} threads\n\n| what | ours | peer | unit | ratio |\n|---|---|---|---|---|")

    def row(peer, what, a, b, unit, ratio, *_):
        print(f"| {what} ({peer}) | {a:.3g} | {b:.3g} | {unit} | {ratio:.2f} |", flush=True)

    for precision in ("f32", "bf16x3", "bf16"):
        if "forward" in args.only:
            for found in torch_stack.measure(os.path.join(example, "peak"), args.threads, args.repeats, precision):
                row("PyTorch", *found)
        if "lengths" in args.only:
            for data in args.data:
                for found in lengths.measure(program, data, args.vocab, args.cells, args.threads, args.repeats, precision):
                    row("PyTorch", *found)
    if "reading" in args.only:
        for data in args.data:
            row("h5py", *reading.measure(os.path.join(example, "throughput"), data))
    if "memory" in args.only:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([program, "-q", "demo", "--cells", "200", "--out", folder, "--overwrite"], check=True, stdout=subprocess.DEVNULL)
            for found in memory.measure(program, os.path.join(folder, "demo_model"), args.many):
                row("itself", *found)
    if "integration" in args.only:
        command = [args.scib, os.path.join(HERE, "integration.py"), "--ours", os.path.join(example, "integration"), "--repeats", str(args.repeats)]
        print("\n" + subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
