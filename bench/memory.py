"""Peak memory of `embed` on few and on many cells: it must not grow with them.

    python bench/memory.py --bin target/release/microtome --model CKPT [--cells 10000 200000]

Cells are simulated by the program itself; `CKPT` is any checkpoint for human genes, such as one made by `microtome init`.
"""

import argparse
import os
import subprocess
import sys
import tempfile


def peak(command):
    """Peak resident MB of a command, in a process of its own so that earlier children do not count."""
    code = "import resource,subprocess,sys; subprocess.run(sys.argv[1:],check=True,stdout=2); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    out = subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True)
    return int(out.stdout) / 1024


def measure(program, model, sizes):
    """Rows for the table: MB at the smaller and at the larger size, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for n in sizes:
            cells, out = os.path.join(folder, "cells.h5ad"), os.path.join(folder, "out.h5ad")
            subprocess.run([program, "-q", "simulate", "--cells", str(n), "--genes", "150", "--out", cells], check=True, stdout=sys.stderr)
            found.append(peak([program, "-q", "embed", cells, "--model", model, "--out", out]))
            os.remove(cells)
            os.remove(out)
    return [(f"embed, {sizes[0]} against {sizes[1]} cells", found[0], found[1], "MB", found[1] / found[0])]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--cells", nargs=2, type=int, default=[10_000, 200_000])
    args = parser.parse_args()
    for what, a, b, unit, ratio in measure(args.bin, args.model, args.cells):
        print(f"{what}: {a:.0f} and {b:.0f} {unit}, ratio {ratio:.2f}")
