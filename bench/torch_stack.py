"""Times a stack of 12 post-norm transformer blocks in eager PyTorch (fused attention) beside our kernels.

    cargo build --release -p microtome-kernels --example peak
    python bench/torch_stack.py --ours target/release/examples/peak [--threads 2] [--repeats 5] [--precision f32|bf16x3|bf16]

Both sides run the same shapes (FFN 4x, exact GELU, one cell, heads of 64) in turn, a fresh process each, so that other load on the
machine meets both alike. Printed are medians over repeats and their ratio. PyTorch has no counterpart of bf16x3 (f32 as three bf16);
there it runs f32. Made with torch 2.15.0 (CPU).
"""

import argparse
import statistics
import subprocess
import sys
import time

BLOCKS = 12
SHAPES = [(512, 512), (512, 2048), (768, 2048)]


def torch_rate(d, n_tokens, threads, bf16):
    """GFLOP/s of the PyTorch stack: the median of at least 3 runs or 2 seconds."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    torch.manual_seed(0)

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = torch.nn.Linear(d, 3 * d)
            self.out = torch.nn.Linear(d, d)
            self.norm1 = torch.nn.LayerNorm(d, eps=1e-12)
            self.up = torch.nn.Linear(d, 4 * d)
            self.down = torch.nn.Linear(4 * d, d)
            self.norm2 = torch.nn.LayerNorm(d, eps=1e-12)

        def forward(self, x):
            b, n, _ = x.shape
            q, k, v = self.qkv(x).view(b, n, 3, d // 64, 64).permute(2, 0, 3, 1, 4)
            z = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d)
            x = self.norm1(x + self.out(z))
            return self.norm2(x + self.down(F.gelu(self.up(x))))

    stack = torch.nn.Sequential(*[Block() for _ in range(BLOCKS)]).eval()
    x = torch.rand(1, n_tokens, d) * 2 - 1
    if bf16:
        stack, x = stack.to(torch.bfloat16), x.to(torch.bfloat16)
    times = []
    with torch.inference_mode():
        stack(x)
        begin = time.perf_counter()
        while len(times) < 3 or time.perf_counter() - begin < 2 and len(times) < 50:
            start = time.perf_counter()
            stack(x)
            times.append(time.perf_counter() - start)
    return BLOCKS * n_tokens * (24 * d * d + 4 * n_tokens * d) / statistics.median(times) / 1e9


def run(command):
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(program, threads, repeats, precision):
    """Rows for the table: what, ours, peer, unit, ratio."""
    bf16 = precision == "bf16"
    for d, n_tokens in SHAPES:
        ours, theirs = [], []
        for _ in range(repeats):
            ours.append(run([program, str(d), str(n_tokens), str(threads), precision]))
            peer = [sys.executable, __file__, "--threads", str(threads), "--one", str(d), str(n_tokens)]
            theirs.append(run(peer + ["--bf16"] * bf16))
        a, b = statistics.median(ours), statistics.median(theirs)
        yield f"12 blocks, width {d}, {n_tokens} tokens, {precision}", a, b, "GFLOP/s", a / b


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", help="path of the built example `peak`")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", default="f32", help="bf16: on both sides (ours: bf16 factors, f32 sums, norms and stream)")
    parser.add_argument("--bf16", action="store_true", help="PyTorch's own precision, with --one")
    parser.add_argument("--one", nargs=2, type=int, metavar=("D_MODEL", "N_TOKENS"), help="only PyTorch, one shape")
    args = parser.parse_args()
    if args.one:
        print(f"{torch_rate(*args.one, args.threads, args.bf16):.1f}")
        return
    if not args.ours:
        parser.error("--ours is needed")
    for what, a, b, unit, ratio in measure(args.ours, args.threads, args.repeats, args.precision):
        print(f"{what}: ours {a:.0f}, PyTorch {b:.0f} {unit}, ratio {ratio:.2f}", flush=True)

if __name__ == "__main__":
    main()
