//! Parity kits of this family.
//!
//! Tensors of the plain run (sub-model `cell`) are named as ever; `rde.*` and `bulk.*` are further runs. `gene.*`, `decoder.*`,
//! `gene_embedding` and `readout.expression` are of the sub-model `gene`, for the cells and rows that the kit lists; `gene_batch.*` runs
//! two cells as one batch and `masked.*` hides genes from the encoder.

use microtome_core::{Error, Result, Site};

use super::decoder::PREFIX;
use super::model::{EXPRESSION, ScFoundation};
use crate::parity::{KitCase, KitPlan};
use crate::taps::{Recorded, Recorder};
use crate::{MASKED, Model, TokenizeOptions, Tokens};

const EMBEDDING: &str = "gene_embedding";
const CELLS: &str = "decoder.cells";
const ROWS: &str = "decoder.rows";
const QUERIES: &str = "decoder.pattern_query_rows";
/// Lists that the kit gives.
const LISTS: [&str; 6] = [CELLS, ROWS, QUERIES, "gene_embedding.cells", "gene_batch.cells", "masked.rows"];

pub(super) fn plan(model: &ScFoundation, case: &KitCase<'_>) -> Result<KitPlan> {
    let recipe = |run: &str| case.manifest["tokenisation"]["runs"][run].as_str().map(str::to_string);
    let tokenize = |recipe: Option<String>| {
        let options = TokenizeOptions { recipe, ..TokenizeOptions::default() };
        model.tokenize(case.cells.counts, None, case.genes, &options)
    };
    let mut plan = KitPlan::new(tokenize(recipe("cell"))?);
    if has_run(case, "rde") {
        further(&mut plan, &model.part("rde")?, "rde", &tokenize(recipe("rde"))?, case)?;
    }
    if has_run(case, "bulk") {
        further(&mut plan, model, "bulk", &tokenize(Some("bulk".into()))?, case)?;
    }
    for name in LISTS.iter().filter(|n| case.has(n)) {
        plan.skip(name, "says which cells or rows the kit holds, so it is read rather than computed");
    }
    if case.has(CELLS) {
        of_genes(&mut plan, &model.part("gene")?, &tokenize(recipe("gene"))?, case)?;
    }
    Ok(plan)
}

fn has_run(case: &KitCase<'_>, run: &str) -> bool {
    case.names().iter().any(|n| n.strip_prefix(run).is_some_and(|n| n.starts_with('.')))
}

/// Everything of the sub-model `gene`.
fn of_genes(plan: &mut KitPlan, gene: &ScFoundation, tokens: &Tokens, case: &KitCase<'_>) -> Result<()> {
    let cells = tokens.select(&list(case, CELLS, tokens.n_cells())?);
    let rows = list(case, ROWS, gene.info.d_vocab)?;
    further(plan, gene, "gene", &cells, case)?;
    decoder(plan, gene, &cells, &rows, case)?;
    if case.has(EMBEDDING) {
        let cells = tokens.select(&list(case, "gene_embedding.cells", tokens.n_cells())?);
        let genes: Vec<usize> = (0..gene.genes.len()).collect();
        Pass::new(gene, &cells, vec![Site::GeneEmbedding])?.put(plan, EMBEDDING, &Site::GeneEmbedding, &genes);
    }
    if case.has("gene_batch.cells") {
        let cells = tokens.select(&list(case, "gene_batch.cells", tokens.n_cells())?);
        let together = ScFoundation::share_maximum(&cells);
        let pass = Pass::new(gene, &together, vec![Site::GeneEmbedding])?;
        pass.put(plan, "gene_batch.gene_embedding_at_rows", &Site::GeneEmbedding, &rows);
    }
    if case.has("masked.rows") {
        masked(plan, gene, &cells, case)?;
    }
    Ok(())
}

/// Tensors `PREFIX.name`, where `name` is a site per token or cell or a column of the tokens.
fn further(
    plan: &mut KitPlan,
    model: &ScFoundation,
    prefix: &str,
    tokens: &Tokens,
    case: &KitCase<'_>,
) -> Result<()> {
    let names: Vec<&str> =
        case.names().into_iter().filter_map(|n| n.strip_prefix(prefix)?.strip_prefix('.')).collect();
    let sites = names.iter().filter_map(|n| site(model, n)).collect();
    let pass = Pass::new(model, tokens, sites)?;
    for name in names {
        let full = format!("{prefix}.{name}");
        match (name, site(model, name)) {
            ("tokens.ids", _) => {
                let ids: Vec<i64> = tokens.ids.iter().map(|&i| i64::from(i)).collect();
                let (shape, values) = padded(tokens, &ids, 1, shape_of(case, &full)?);
                plan.ints(&full, shape[..2].to_vec(), values);
            }
            ("tokens.len", _) => {
                let lens: Vec<i64> = (0..tokens.n_cells()).map(|c| tokens.len_of(c) as i64).collect();
                plan.ints(&full, vec![lens.len()], lens);
            }
            ("tokens.values", _) => {
                let (shape, values) = padded(tokens, &tokens.values, 1, shape_of(case, &full)?);
                plan.floats(&full, shape[..2].to_vec(), values);
            }
            (_, Some(site)) => match pass.recorder.get(&site) {
                Some(Recorded::Tokens { data, width }) => {
                    let (shape, values) = padded(tokens, data, *width, shape_of(case, &full)?);
                    plan.floats(&full, shape, values);
                }
                Some(Recorded::Cells { data, width }) => {
                    plan.floats(&full, vec![tokens.n_cells(), *width], data.clone());
                }
                _ => {}
            },
            _ => {}
        }
    }
    Ok(())
}

/// Sites over all rows, cut down to the kit's.
fn decoder(
    plan: &mut KitPlan,
    gene: &ScFoundation,
    cells: &Tokens,
    rows: &[usize],
    case: &KitCase<'_>,
) -> Result<()> {
    const AT_ROWS: &str = "gene_embedding.at_rows";
    let names: Vec<&str> =
        case.names().into_iter().filter(|n| n.starts_with(PREFIX) || [AT_ROWS, EXPRESSION].contains(n)).collect();
    let place = |name: &str| match name {
        AT_ROWS => Some(Site::GeneEmbedding),
        _ => site(gene, name.strip_suffix("_rows").unwrap_or(name)),
    };
    let pass = Pass::new(gene, cells, names.iter().filter_map(|n| place(n)).collect())?;
    let queries = if case.has(QUERIES) { list(case, QUERIES, gene.info.d_vocab)? } else { vec![] };
    for name in names {
        if let Some(site) = place(name) {
            pass.put(plan, name, &site, if name.ends_with("pattern_rows") { &queries } else { rows });
        }
    }
    Ok(())
}

/// The listed rows masked; lists are padded with zeros per cell, as `masked.len` says.
fn masked(plan: &mut KitPlan, gene: &ScFoundation, tokens: &Tokens, case: &KitCase<'_>) -> Result<()> {
    let (shape, given) = case.read_ints("masked.rows")?;
    let width = shape.last().copied().unwrap_or(0);
    let lens = list(case, "masked.len", width.saturating_add(1))?;
    let (mut cells, mut seen, mut hidden) = (Tokens::new(), Tokens::new(), vec![]);
    for (cell, len) in lens.into_iter().enumerate().take(tokens.n_cells()) {
        let rows = given.get(cell * width..cell * width + len).unwrap_or_default();
        let rows: Vec<u32> = rows
            .iter()
            .filter_map(|&r| u32::try_from(r).ok().filter(|r| (*r as usize) < gene.genes.len()))
            .collect();
        let (ids, values) = tokens.cell(cell);
        let mut all: Vec<(u32, f32)> = ids.iter().copied().zip(values.iter().copied()).collect();
        all.retain(|(id, _)| !rows.contains(id));
        seen.push(&vec![0; all.len()], &vec![0.0; all.len()], 0, 0);
        all.extend(rows.iter().map(|&r| (r, MASKED)));
        all.sort_by_key(|(id, _)| *id);
        let (ids, values): (Vec<u32>, Vec<f32>) = all.into_iter().unzip();
        cells.push(&ids, &values, 0, 0);
        hidden.push(rows);
    }
    let expression = Site::Extra(EXPRESSION.into());
    let pass = Pass::new(gene, &cells, vec![Site::FinalNorm, expression.clone()])?;
    let lens: Vec<i64> = hidden.iter().map(|h| h.len() as i64).collect();
    plan.ints("masked.len", vec![lens.len()], lens);
    if let Some(Recorded::Cells { data, width: n }) = pass.recorder.get(&expression) {
        let mut out = vec![0.0; hidden.len() * width];
        for ((out, of_cell), rows) in out.chunks_mut(width.max(1)).zip(data.chunks(*n)).zip(&hidden) {
            out.iter_mut().zip(rows).for_each(|(o, &r)| *o = of_cell[r as usize]);
        }
        plan.floats("masked.readout", vec![hidden.len(), width], out);
    }
    if let Some(Recorded::Tokens { data, width }) = pass.recorder.get(&Site::FinalNorm) {
        let (shape, values) = padded(&seen, data, *width, shape_of(case, "masked.final_norm")?);
        plan.floats("masked.final_norm", shape, values);
    }
    Ok(())
}

fn site(model: &ScFoundation, name: &str) -> Option<Site> {
    model.sites().into_iter().map(|s| s.site).find(|s| s.to_string() == name)
}

/// Whole numbers below a bound.
fn list(case: &KitCase<'_>, name: &str, below: usize) -> Result<Vec<usize>> {
    let (_, values) = case.read_ints(name)?;
    let usable = |v: &i64| usize::try_from(*v).ok().filter(|v| *v < below);
    values.iter().map(usable).collect::<Option<_>>().ok_or_else(|| {
        Error::unreadable("a list of the kit is beyond the model or the cells").at_key(name).expected(format!("below {below}"))
    })
}

fn shape_of(case: &KitCase<'_>, name: &str) -> Result<Vec<usize>> {
    case.read_ints(name).map(|(s, _)| s).or_else(|_| case.read_floats(name).map(|(s, _)| s))
}

/// `[cell, token, width]`, padded with zeros to the length of the kit's tensor.
fn padded<T: Copy + Default>(tokens: &Tokens, data: &[T], width: usize, like: Vec<usize>) -> (Vec<usize>, Vec<T>) {
    let longest = (0..tokens.n_cells()).map(|c| tokens.len_of(c)).max().unwrap_or(0);
    let pad = like.get(1).copied().unwrap_or(longest).max(longest);
    let mut out = vec![T::default(); tokens.n_cells() * pad * width];
    for (out, span) in out.chunks_mut((pad * width).max(1)).zip(tokens.offsets.windows(2)) {
        let cell = &data[span[0] * width..span[1] * width];
        out[..cell.len()].copy_from_slice(cell);
    }
    (vec![tokens.n_cells(), pad, width], out)
}

/// One pass with sites recorded.
struct Pass {
    recorder: Recorder,
    n_cells: usize,
}

impl Pass {
    fn new(model: &ScFoundation, tokens: &Tokens, sites: Vec<Site>) -> Result<Self> {
        let mut recorder = Recorder::new(sites);
        model.forward(tokens, &mut recorder)?;
        Ok(Self { recorder, n_cells: tokens.n_cells() })
    }

    /// Adds a site at the given rows: `[cell, row, width]`, `[cell, head, row, d_head]`, `[cell, head, query, key]`; sites per cell as
    /// they are. Every cell has all rows.
    fn put(&self, plan: &mut KitPlan, name: &str, site: &Site, rows: &[usize]) {
        let cells = self.n_cells;
        match self.recorder.get(site) {
            Some(Recorded::Tokens { data, width }) => {
                let values = self.at(data, *width, 0..*width, rows);
                plan.floats(name, vec![cells, rows.len(), *width], values);
            }
            Some(Recorded::Heads { data, n_heads, d_head }) => {
                let mut out = vec![];
                for cell in data.chunks_exact((data.len() / cells.max(1)).max(1)) {
                    for head in 0..*n_heads {
                        let columns = head * d_head..(head + 1) * d_head;
                        out.extend(picked(cell, n_heads * d_head, columns, rows));
                    }
                }
                plan.floats(name, vec![cells, *n_heads, rows.len(), *d_head], out);
            }
            Some(Recorded::Maps { cells: maps, n_heads, .. }) => {
                let n = maps.first().map_or(0, |m| (m.len() / n_heads.max(&1)).isqrt());
                let heads = maps.iter().flat_map(|m| m.chunks_exact((n * n).max(1)));
                let out = heads.flat_map(|head| picked(head, n, 0..n, rows)).collect();
                plan.floats(name, vec![maps.len(), *n_heads, rows.len(), n], out);
            }
            Some(Recorded::Cells { data, width }) => plan.floats(name, vec![cells, *width], data.clone()),
            None => {}
        }
    }

    fn at(&self, data: &[f32], width: usize, columns: std::ops::Range<usize>, rows: &[usize]) -> Vec<f32> {
        let cells = data.chunks_exact((data.len() / self.n_cells.max(1)).max(1));
        cells.flat_map(|cell| picked(cell, width, columns.clone(), rows)).collect()
    }
}

fn picked(data: &[f32], width: usize, columns: std::ops::Range<usize>, rows: &[usize]) -> Vec<f32> {
    let row = |r: &usize| data.get(r * width + columns.start..r * width + columns.end);
    rows.iter().filter_map(row).flatten().copied().collect()
}
