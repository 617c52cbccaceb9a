//! Where a file keeps the weights of a block.

use microtome_kernels::PostLnBlock;

use crate::BlockLayout;

/// Names of `PREFIXencoder.layer.{i}`.
pub(crate) fn block_layout(prefix: &str, i: usize, block: &PostLnBlock) -> Option<BlockLayout> {
    let name = |part: &str| format!("{prefix}encoder.layer.{i}.{part}");
    let qkv = ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
    let others = ["attention.output.dense", "intermediate.dense", "output.dense"].map(name);
    let norms = ["attention.output.LayerNorm", "output.LayerNorm"].map(name);
    BlockLayout::post_ln(block, &qkv, others, norms)
}
