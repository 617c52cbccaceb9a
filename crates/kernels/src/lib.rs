//! CPU kernels: packed GEMM, blockwise attention, norms, activations.
