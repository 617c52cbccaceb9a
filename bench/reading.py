"""Compares reading all of X in blocks of rows with h5py: medians of interleaved repeats, in the same run.

    python bench/reading.py target/release/examples/throughput FILE.h5ad...

h5py reads data, indices and indptr of a block and sums the values, as the example does; the example also checks every
index. Both include opening the file. The second ratio is of processor time, which a busy machine changes less than wall time;
it leaves out what more cores would add.
"""

import resource
import statistics
import subprocess
import sys
import time

import h5py
import numpy as np

BLOCK, REPEATS = 1024, 9


def with_h5py(path):
    start = time.perf_counter()
    with h5py.File(path) as f:
        x = f["X"]
        total, nnz = 0.0, 0
        pointers = x["indptr"][:]
        for at in range(0, len(pointers) - 1, BLOCK):
            a, b = pointers[at], pointers[min(at + BLOCK, len(pointers) - 1)]
            values, indices = x["data"][a:b], x["indices"][a:b]
            total += float(values.sum(dtype=np.float64))
            nnz += len(indices)
    return time.perf_counter() - start, nnz, total


def cpu(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def measure(program, path, repeats=REPEATS):
    """Row for the table: MB/s of the matrix in memory, and the ratio; last the ratio of processor time."""
    ours, theirs, ours_cpu, theirs_cpu = [], [], [], []
    for _ in range(repeats):
        before = cpu(resource.RUSAGE_CHILDREN)
        seconds, nnz, total = subprocess.run([program, path, str(BLOCK)], capture_output=True, text=True, check=True).stdout.split()
        ours.append(float(seconds))
        ours_cpu.append(cpu(resource.RUSAGE_CHILDREN) - before)
        before = cpu(resource.RUSAGE_SELF)
        expected = with_h5py(path)
        theirs_cpu.append(cpu(resource.RUSAGE_SELF) - before)
        theirs.append(expected[0])
        assert int(nnz) == expected[1] and np.isclose(float(total), expected[2], rtol=1e-9), path
    with h5py.File(path) as f:
        data = f["X/data"]
        size = data.nbytes + f["X/indices"].nbytes
        storage = f"{data.compression or 'plain'}, chunks {data.chunks}"
    a, b = statistics.median(ours), statistics.median(theirs)
    what = f"{path.rsplit('/', 1)[-1]}, {size / 1e6:.0f} MB ({storage})"
    return what, size / a / 1e6, size / b / 1e6, "MB/s", b / a, statistics.median(theirs_cpu) / statistics.median(ours_cpu)


if __name__ == "__main__":
    for path in sys.argv[2:]:
        what, a, b, unit, ratio, of_cpu = measure(sys.argv[1], path)
        print(f"{what}: ours {a:.0f}, h5py {b:.0f} {unit}, ratio {ratio:.2f}, of processor time {of_cpu:.2f}")
