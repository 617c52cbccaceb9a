//! Binning-By-Gene: where a sample's expression of a gene lies among the reference's.

use std::collections::HashMap;
use std::path::Path;

use microtome_core::{Error, Result};
use microtome_weights::npy;

/// Bins of expression of one gene over the corpus, the first of which is "not expressed".
pub(super) const N_BINS: usize = 2000;
/// Counts to which every sample is scaled before the logarithm to base ten.
const TARGET_SUM: f64 = 1e7;
/// Largest list of genes that is read.
const MAX_BYTES: u64 = 16 << 20;

/// Expression of the reference above zero, ascending, by gene.
pub(super) struct Reference {
    by_gene: HashMap<String, Vec<f32>>,
}

impl Reference {
    /// `[sample, gene]` of log10 expression, with one symbol a line.
    pub(super) fn read(matrix: &Path, symbols: &Path) -> Result<Self> {
        let unreadable =
            |e: std::io::Error| Error::unreadable("cannot read the genes of the reference").in_file(symbols).caused_by(e);
        if std::fs::metadata(symbols).map_err(unreadable)?.len() > MAX_BYTES {
            return Err(Error::unreadable("the list of genes is too large to be one").in_file(symbols));
        }
        let text = std::fs::read_to_string(symbols).map_err(unreadable)?;
        let genes: Vec<&str> = text.split_whitespace().collect();
        let array = npy::read(matrix)?;
        let &[_, n_genes] = array.shape() else {
            return Err(Error::unreadable("the reference is not a matrix of samples and genes")
                .in_file(matrix)
                .found(format!("shape {:?}", array.shape())));
        };
        if n_genes != genes.len() {
            return Err(Error::mismatch("the reference and its list of genes do not belong together")
                .in_file(matrix)
                .expected(format!("{} columns", genes.len()))
                .found(n_genes.to_string()));
        }
        let values = array.to_f32().map_err(|e| e.in_file(matrix))?;
        Self::new(&genes, &values).map_err(|e| e.in_file(matrix))
    }

    fn new(genes: &[&str], values: &[f32]) -> Result<Self> {
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::unreadable("the reference holds a value that is no number")
                .at_key(format!("sample {}, gene {}", at / genes.len(), genes[at % genes.len()])));
        }
        let mut columns: Vec<Vec<f32>> = vec![vec![]; genes.len()];
        for row in values.chunks_exact(genes.len().max(1)) {
            columns.iter_mut().zip(row).filter(|(_, v)| **v > 0.0).for_each(|(c, v)| c.push(*v));
        }
        let mut by_gene = HashMap::new();
        for (gene, mut column) in genes.iter().zip(columns) {
            column.sort_unstable_by(f32::total_cmp);
            // The authors look a symbol up by its first place.
            by_gene.entry((*gene).to_string()).or_insert(column);
        }
        Ok(Self { by_gene })
    }

    pub(super) fn get(&self, gene: &str) -> Option<&[f32]> {
        self.by_gene.get(gene).map(Vec::as_slice)
    }
}

/// `log10(1e7 count / total + 1)`, in double precision and then single, as the authors do.
pub fn expression(count: f32, total: f64) -> f32 {
    (f64::from(count) * (TARGET_SUM / total) + 1.0).log10() as f32
}

/// Bin of an expressed gene, `2..=n_bins`, when the sample stands alone beside the reference: the rank among the expressed over the
/// width of a bin. Of equal values the sample's ranks lowest.
pub(super) fn bin(value: f32, reference: &[f32], n_bins: usize) -> usize {
    let rank = reference.partition_point(|v| *v < value) as f64;
    let greatest = reference.len() as f64;
    let width = if greatest > 0.0 { greatest / (n_bins - 1) as f64 } else { 1.0 };
    ((rank / width) as usize + 2).min(n_bins)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranks within the stack of the sample and the reference, zeros included, word for word.
    fn by_the_book(value: f32, reference: &[f32], n_bins: usize) -> usize {
        let stack: Vec<f32> = [value].into_iter().chain(reference.iter().copied()).collect();
        let zeros = stack.iter().filter(|v| **v <= 0.0).count();
        let mut order: Vec<usize> = (0..stack.len()).collect();
        order.sort_by(|&a, &b| stack[a].total_cmp(&stack[b]).then(a.cmp(&b)));
        let rank = |i: usize| order.iter().position(|&o| o == i).unwrap();
        let adjusted = |i: usize| if stack[i] > 0.0 { rank(i) - zeros } else { 0 };
        let greatest = (0..stack.len()).map(adjusted).max().unwrap();
        let width = if greatest > 0 { greatest as f64 / (n_bins - 1) as f64 } else { 1.0 };
        ((adjusted(0) as f64 / width) as usize + 1 + usize::from(value > 0.0)).min(n_bins)
    }

    #[test]
    fn a_bin_is_the_rank_within_the_stack() {
        let wave = |i: usize| ((i as f32 * 0.7).sin() * 5.0).max(0.0);
        for n in [0, 1, 2, 7, 300] {
            let column: Vec<f32> = (0..n).map(wave).collect();
            let reference = Reference::new(&["G"], &column).unwrap();
            for value in [0.001, 0.5, 2.5, 4.999, 6.0, column.iter().copied().fold(0.1, f32::max)] {
                for n_bins in [5, 2000] {
                    let got = bin(value, reference.get("G").unwrap(), n_bins);
                    assert_eq!(got, by_the_book(value, &column, n_bins), "{n} {value}");
                    assert!((2..=n_bins).contains(&got));
                }
            }
        }
    }

    #[test]
    fn a_reference_is_checked() {
        let e = Reference::new(&["A", "B"], &[0.0, 1.0, f32::NAN, 2.0]).err().unwrap().to_string();
        assert!(e.contains("gene A"), "{e}");
        let twice = Reference::new(&["A", "A"], &[3.0, 1.0, 2.0, 0.0]).unwrap();
        assert_eq!(twice.get("A"), Some(&[2.0, 3.0][..]));
        assert_eq!(twice.get("B"), None);
        assert!((expression(3.0, 3e7) - 2f32.log10()).abs() < 1e-7);
    }
}
