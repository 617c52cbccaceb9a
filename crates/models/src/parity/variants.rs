//! The run with masked genes that a kit may hold besides the plain one: tensors named `masked.SITE`.

use microtome_core::{Error, Result};
use microtome_weights::Checkpoint;

use super::actual::{Array, Computed, Values};
use crate::model::Model;
use crate::{MASKED, Tokens};

/// Prefix of the run.
const MASKED_RUN: &str = "masked";

/// Adds the run with masked genes, if the kit holds tensors of it.
pub(super) fn compute<'a>(
    model: &'a dyn Model,
    tokens: &Tokens,
    expected: &Checkpoint,
    names: &[String],
    out: &mut Computed<'a>,
) -> Result<()> {
    let of_run = super::under(MASKED_RUN, names);
    if of_run.is_empty() || out.has_run(MASKED_RUN) {
        return Ok(());
    }
    let changed = masked(model, tokens, expected, out)?;
    out.run(model, MASKED_RUN, changed, &of_run)
}

/// The first cell with the kit's choice of genes masked: given by the values themselves, or by a mask over the gene tokens.
fn masked(model: &dyn Model, tokens: &Tokens, kit: &Checkpoint, out: &mut Computed<'_>) -> Result<Tokens> {
    if tokens.n_cells() == 0 {
        return Err(Error::unreadable("the kit masks genes of a cell, but holds no cells"));
    }
    let mut cell = tokens.select(&[0]);
    let n = cell.ids.len();
    let (key, places) = if kit.info("masked.mask").is_some() {
        ("masked.mask", model.gene_tokens(n))
    } else {
        ("masked.tokens.values", 0..n)
    };
    let Values::Float(given) = Array::read(kit, key)?.values else {
        return Err(Error::unreadable("the kit's choice of masked genes is not of floats").at_key(key));
    };
    if given.len() < places.len() {
        return Err(Error::mismatch("the kit masks genes of a shorter cell")
            .at_key(key)
            .expected(format!("{} numbers", places.len()))
            .found(given.len().to_string()));
    }
    for (place, &given) in places.zip(&given) {
        if key == "masked.mask" {
            if given != 0.0 {
                cell.values[place] = MASKED;
            }
        } else if given < 0.0 {
            // Negative numbers stand for mask and padding; all others are compared with what the tokeniser gives.
            cell.values[place] = given;
        }
    }
    if key == "masked.mask" {
        out.skip(key, "says which genes to mask, so it is read rather than computed");
    }
    Ok(cell)
}
