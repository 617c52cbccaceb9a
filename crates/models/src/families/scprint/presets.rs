//! Published sizes.

use crate::Variant;

/// Human and mouse genes of the published files.
const GENES: usize = 44_756;
/// Base token and the six classes of the first release.
const CLASS_ROWS: usize = 7;
/// Genes per cell that the authors' embedder takes by default.
pub(super) const PUBLISHED_GENES_PER_CELL: usize = 2000;

const fn variant(id: &'static str, name: &'static str, [n_blocks, d, n_heads]: [usize; 3]) -> Variant {
    let encoder = 2 * d + (2 * d + d * d + d);
    let block = (3 * d * d + 3 * d) + (d * d + d) + (4 * d * d + 4 * d) + (4 * d * d + d) + 4 * d;
    let decoder = 2 * (d * d + d) + 4 * d + (3 * d + 3);
    let n = GENES * d + CLASS_ROWS * d + 2 * encoder + n_blocks * block + 2 * d + decoder;
    Variant {
        id,
        name,
        n_blocks,
        d_model: d,
        n_heads,
        d_mlp: 4 * d,
        max_tokens: PUBLISHED_GENES_PER_CELL + 1 + CLASS_ROWS,
        d_vocab: GENES + 2 + CLASS_ROWS,
        n_parameters: n as u64,
    }
}

/// Sizes with published files. Heads are those of the training configurations (1.1.3; newer configurations double them for medium and
/// large) and are read from each file. Parameters include the frozen gene table, not the position buffer nor the class heads, whose
/// sizes differ from file to file.
pub(super) const VARIANTS: &[Variant] = &[
    variant("small", "small-v1 (head count by the training configuration)", [4, 128, 2]),
    variant("medium", "medium-v1.5 (head count by the training configuration)", [8, 256, 4]),
    variant("large", "large-v1 (head count by the training configuration)", [16, 512, 4]),
];

/// Preset id of dimensions, `custom` when they have no published size.
pub(super) fn name_of(n_blocks: usize, d_model: usize) -> &'static str {
    VARIANTS.iter().find(|v| (v.n_blocks, v.d_model) == (n_blocks, d_model)).map_or("custom", |v| v.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_table_have_the_known_sizes() {
        for (v, table, core) in [(0, 5.73e6, 0.79e6), (1, 11.46e6, 6.32e6), (2, 22.91e6, 50.4e6)] {
            let v = &VARIANTS[v];
            assert!(((GENES * v.d_model) as f64 - table).abs() < 1e4);
            // The known figure is of the blocks alone.
            let rest = v.n_parameters as f64 - table - core;
            assert!(rest > 0.0 && rest < 0.15 * core + 1e5, "{} {rest}", v.id);
        }
    }
}
