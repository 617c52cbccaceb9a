//! Contextual gene vectors averaged over cells, at any number of sites in one pass.

use std::collections::BTreeMap;

use microtome_core::{Error, Matrix, Result, Site};

use crate::{GENE_MASK, Model, SiteData, Tap, Tokens};

/// Mean contextual vector per gene at one site.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneMeans {
    /// Genes that occurred, ascending, as the vocabulary counts them.
    pub tokens: Vec<u32>,
    /// Occurrences of each.
    pub counts: Vec<u64>,
    /// `[gene, width]` mean over all occurrences in all cells.
    pub means: Matrix,
    /// Mean squared distance of the occurrences to the mean: the population variance summed over columns. Zero for one occurrence.
    pub variances: Vec<f64>,
}

/// Which tokens are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Averaged {
    /// All tokens, special tokens included.
    All,
    /// The cell's own genes: special tokens and padding left out.
    Genes,
}

/// Accumulates, for every gene that occurs, the mean of its vectors over cells, in `f64`.
/// Memory grows with sites x distinct genes x width (8 bytes each), never with the number of cells.
pub struct GeneMeanTap<'a> {
    model: &'a dyn Model,
    averaged: Averaged,
    sites: Vec<Site>,
    sums: Vec<SiteSums>,
}

#[derive(Clone, Debug, Default)]
struct SiteSums {
    width: usize,
    /// Place of a gene in `counts`, `squares` and the rows of `sums`.
    place: BTreeMap<u32, usize>,
    counts: Vec<u64>,
    sums: Vec<f64>,
    squares: Vec<f64>,
}

impl<'a> GeneMeanTap<'a> {
    /// Listens to token sites (the published choice is the site of [`crate::Model::cell_rule`]).
    pub fn new(model: &'a dyn Model, sites: &[Site], averaged: Averaged) -> Self {
        Self { model, averaged, sites: sites.to_vec(), sums: vec![SiteSums::default(); sites.len()] }
    }

    /// The means so far, one per site in the order in which they were asked for.
    pub fn finish(self) -> Result<Vec<GeneMeans>> {
        self.sums.into_iter().map(SiteSums::finish).collect()
    }
}

impl GeneMeanTap<'_> {
    /// The means at the only site that was asked for.
    pub fn finish_one(self) -> Result<GeneMeans> {
        match <[GeneMeans; 1]>::try_from(self.finish()?) {
            Ok([means]) => Ok(means),
            Err(all) => Err(Error::usage("gene vectors were averaged at another number of sites")
                .expected("one site")
                .found(all.len().to_string())),
        }
    }
}

impl SiteSums {
    fn add(&mut self, gene: u32, row: &[f32]) {
        let next = self.counts.len();
        let at = *self.place.entry(gene).or_insert(next);
        if at == next {
            self.counts.push(0);
            self.squares.push(0.0);
            self.sums.resize((next + 1) * self.width, 0.0);
        }
        self.counts[at] += 1;
        let mut square = 0.0;
        for (s, &v) in self.sums[at * self.width..(at + 1) * self.width].iter_mut().zip(row) {
            let v = f64::from(v);
            *s += v;
            square += v * v;
        }
        self.squares[at] += square;
    }

    fn finish(self) -> Result<GeneMeans> {
        let n = self.counts.len();
        let mut data = Vec::with_capacity(n * self.width);
        let (mut tokens, mut counts, mut variances) = (vec![], vec![], vec![]);
        for (&gene, &at) in &self.place {
            let count = self.counts[at] as f64;
            let mut square = 0.0;
            for s in &self.sums[at * self.width..(at + 1) * self.width] {
                let mean = s / count;
                square += mean * mean;
                data.push(mean as f32);
            }
            tokens.push(gene);
            counts.push(self.counts[at]);
            // One occurrence varies by nothing, and rounding must not make it less.
            let variance = if self.counts[at] == 1 { 0.0 } else { self.squares[at] / count - square };
            variances.push(variance.max(0.0));
        }
        Ok(GeneMeans { means: Matrix::new(n, self.width, data)?, tokens, counts, variances })
    }
}

impl Tap for GeneMeanTap<'_> {
    fn wants(&self, site: &Site) -> bool {
        self.sites.contains(site)
    }

    fn offer(&mut self, site: &Site, tokens: &Tokens, data: SiteData<'_>) -> Result<()> {
        let Some(index) = self.sites.iter().position(|s| s == site) else { return Ok(()) };
        let SiteData::Tokens { data, width } = data else {
            return Err(
                Error::usage("gene vectors are averaged at token sites only").at_key(site.to_string())
            );
        };
        let sums = &mut self.sums[index];
        sums.width = width;
        let genes = self.model.gene_ids(tokens);
        for cell in 0..tokens.n_cells() {
            let span = tokens.offsets[cell]..tokens.offsets[cell + 1];
            let own = match self.averaged {
                Averaged::All => 0..span.len(),
                Averaged::Genes => self.model.gene_tokens(span.len()),
            };
            let mask = tokens.column(GENE_MASK, cell).filter(|_| self.averaged == Averaged::Genes);
            for at in own {
                if mask.is_some_and(|m| m[at] == 0.0) {
                    continue;
                }
                let row = span.start + at;
                sums.add(genes[row], &data[row * width..(row + 1) * width]);
            }
        }
        Ok(())
    }
}
