//! Where a file keeps the weights of a block.

use microtome_kernels::PostLnBlock;

use crate::BlockLayout;
use crate::block_layout::BlockNames;

/// Names of `PREFIXencoder.layer.{i}`.
pub(crate) fn block_layout(prefix: &str, i: usize, block: &PostLnBlock) -> Option<BlockLayout> {
    let name = |part: &str| format!("{prefix}encoder.layer.{i}.{part}");
    let names = BlockNames {
        qkv: ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}"))).to_vec(),
        out: name("attention.output.dense"),
        gate: None,
        up: name("intermediate.dense"),
        down: name("output.dense"),
        norms: [name("attention.output.LayerNorm"), name("output.LayerNorm")],
        norm_bias: true,
        transposed: false,
    };
    BlockLayout::post_ln(block, &names)
}
