//! The same tissue in mouse: genes replaced by their one-to-one orthologs, some of them regulated otherwise.

use super::catalog::{Gene, mouse_orthologs};
use super::design::Mouse;
use super::draws::{Draws, Purpose};
use super::levels::Levels;
use super::network::{Network, Regulator};

/// Where the mouse departs from human, gene by gene.
#[derive(Clone, Debug)]
pub(super) struct Kinship {
    /// Human Ensembl id of each gene.
    pub(super) human: Vec<String>,
    /// Whether a gene is regulated as in human.
    pub(super) conserved: Vec<bool>,
}

/// Keeps the genes with an ortholog under their mouse names, and moves some targets to other programs. Regulators
/// without an ortholog are gone, and with them what they drive.
pub(super) fn to_mouse(
    mouse: &Mouse,
    seed: u64,
    genes: &mut Vec<Gene>,
    network: &mut Network,
    levels: &mut Levels,
) -> Kinship {
    let orthologs = mouse_orthologs();
    let kept: Vec<usize> =
        (0..genes.len()).filter(|&g| orthologs.contains_key(&genes[g].ensembl_id)).collect();
    let mut new_gene = vec![None; genes.len()];
    kept.iter().enumerate().for_each(|(new, &old)| new_gene[old] = Some(new));
    let mut new_regulator = vec![None; network.regulators.len()];
    let mut regulators = vec![];
    for (old, r) in network.regulators.iter().enumerate() {
        if let Some(gene) = new_gene[r.gene] {
            new_regulator[old] = Some(regulators.len());
            regulators.push(Regulator { gene, ..r.clone() });
        }
    }
    let mut conserved = vec![true; kept.len()];
    let mut edges = Vec::with_capacity(kept.len());
    for (new, &old) in kept.iter().enumerate() {
        let all = &network.edges[old];
        let left: Vec<_> = all
            .iter()
            .filter_map(|e| {
                new_regulator[e.regulator].map(|regulator| super::network::Edge { regulator, ..*e })
            })
            .collect();
        conserved[new] = left.len() == all.len();
        edges.push(left);
    }
    let mut program_of: Vec<Option<usize>> = kept.iter().map(|&g| network.program_of[g]).collect();
    let draws = &mut Draws::new(seed, Purpose::Species, 0);
    let mut moved: Vec<usize> = (0..kept.len())
        .filter(|&g| !edges[g].is_empty() && draws.uniform() >= mouse.conserved_share)
        .collect();
    draws.shuffle(&mut moved);
    // Each takes the place of the next: as many genes per program as before.
    for pair in moved.windows(2) {
        edges.swap(pair[0], pair[1]);
        program_of.swap(pair[0], pair[1]);
    }
    if moved.len() > 1 {
        moved.iter().for_each(|&g| conserved[g] = false);
    }
    network.regulators = regulators;
    network.regulator_of =
        kept.iter().map(|&g| network.regulator_of[g].and_then(|r| new_regulator[r])).collect();
    network.edges = edges;
    network.program_of = program_of;
    levels.base = kept.iter().map(|&g| levels.base[g] + mouse.base_sd * draws.normal()).collect();
    levels.dispersion = kept.iter().map(|&g| levels.dispersion[g]).collect();
    for effect in levels.batches.iter_mut().chain(&mut levels.donors) {
        effect.genes = kept.iter().map(|&g| effect.genes[g]).collect();
    }
    let human: Vec<String> = kept.iter().map(|&g| genes[g].ensembl_id.clone()).collect();
    let mut all: Vec<Option<Gene>> = std::mem::take(genes).into_iter().map(Some).collect();
    *genes = kept
        .iter()
        .filter_map(|&g| all[g].take())
        .filter_map(|gene| {
            let (id, symbol) = orthologs.get(&gene.ensembl_id)?;
            Some(gene.renamed(id.clone(), symbol))
        })
        .collect();
    Kinship { human, conserved }
}
