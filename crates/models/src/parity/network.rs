//! The `grn.*` tensors of a kit: a gene network from the attention of mean queries and keys over a fixed list of genes.

use microtome_core::{Error, Result};
use microtome_weights::Checkpoint;

use super::KitCells;
use super::actual::{Array, Computed, Values};
use super::manifest::Manifest;
use crate::GeneMatch;
use crate::grn::thresholded;
use crate::model::Model;
use crate::taps::MeanQueryKeyTap;

pub(super) fn compute(
    model: &dyn Model,
    cells: &KitCells<'_>,
    genes: &GeneMatch,
    kit: &Checkpoint,
    manifest: &Manifest,
    out: &mut Computed<'_>,
) -> Result<()> {
    let name = "grn.genes";
    if kit.info(name).is_none() {
        return Ok(());
    }
    out.skip(name, "names the genes of the network, so it is read rather than computed");
    let Values::Int(list) = Array::read(kit, name)?.values else {
        return Err(Error::unreadable("the genes of the network are not whole numbers").at_key(name));
    };
    let list: Vec<u32> = list.iter().filter_map(|&g| u32::try_from(g).ok()).collect();
    let tokens = model.tokenize_genes(cells.counts, genes, &vec![list; cells.counts.n_cells()])?;
    let n_blocks = model.info().n_blocks;
    let mut tap = MeanQueryKeyTap::new(0..n_blocks);
    model.forward(&tokens, &mut tap)?;
    let means = tap.finish()?;
    let (t, h, d) = (means.tokens.len(), means.n_heads, means.d_head);
    for (name, parts) in [("grn.mean_q", &means.queries), ("grn.mean_k", &means.keys)] {
        out.put(name, Array::floats(vec![n_blocks, t, h, d], parts.concat()));
    }
    let mut heads = vec![];
    for block in 0..n_blocks {
        for head in 0..h {
            heads.extend_from_slice(means.head_attention(block, head).data());
        }
    }
    out.put("grn.attention_heads", Array::floats(vec![n_blocks * h, t, t], heads));
    let attention = means.mean_attention();
    let range = model.gene_tokens(t);
    let mut network = thresholded(&attention, range.clone());
    // At the threshold rounding decides between zero and the value; the manifest says to leave these entries out.
    let slack = manifest.tolerance("grn.network").map_or(0.0, |t| t.abs);
    if let Ok(Values::Float(expected)) = Array::read(kit, "grn.network").map(|a| a.values)
        && expected.len() == network.data().len()
    {
        let n = range.len();
        for (i, (found, expected)) in network.data_mut().iter_mut().zip(&expected).enumerate() {
            let value = attention.row(range.start + i / n)[range.start + i % n];
            if (f64::from(value) - 1.0 / t as f64).abs() <= slack {
                *found = *expected;
            }
        }
    }
    out.put("grn.attention", Array::floats(vec![t, t], attention.into_data()));
    out.put("grn.network", Array::floats(vec![range.len(), range.len()], network.into_data()));
    Ok(())
}
