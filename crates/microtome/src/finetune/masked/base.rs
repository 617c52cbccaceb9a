//! The network of a checkpoint as `pretrain` trains it, with all weights frozen but adapters on its blocks.

use std::collections::HashMap;

use microtome_core::{Error, Result};
use microtome_models::{BlockLayout, Model, StoredMap};
use microtome_train::finetune::{FitOptions, Method, Network, Part};
use microtome_train::net::{Architecture, Change, Frozen, NamedTensor, Params, Piece};
use microtome_train::pretrain::{Annotation, Masking, Objective, Task};
use microtome_weights::Checkpoint;

use crate::finetune::blocks::Stored;
use crate::pretrain::HEADS;
use crate::pretrain::imitation::{self, Asked, Imitation};

/// A checkpoint whose blocks are trained from one on.
pub(super) struct Base {
    architecture: Box<dyn Architecture>,
    pub(super) objective: Objective,
    pub(super) masking: Masking,
    pub(super) asked: Asked,
    pub(super) stored: Stored,
    /// Blocks as `merge` puts them together, and the first values of what is trained.
    pub(super) network: Network,
    /// All weights, with what is trained of them declared.
    frozen: Frozen,
    /// All weights as they are.
    plain: Frozen,
}

impl Base {
    /// Errors when the family has no masked training or no blocks that can be trained, or the checkpoint lacks a readout.
    pub(super) fn open(
        model: &dyn Model,
        wanted: Option<Asked>,
        share: Option<f64>,
        first: usize,
        fit: &FitOptions,
    ) -> Result<Self> {
        let imitation = family(model)?;
        let asked = imitation::asked(imitation, wanted)?;
        let stored = Stored::open(model)?;
        let architecture = imitation.architecture(model, &stored.checkpoint)?;
        let objective = imitation.objective(model, asked)?;
        let masking = Masking { share: share.unwrap_or(imitation.masking().share), ..imitation.masking() };
        if !(masking.share > 0.0 && masking.share <= 1.0) {
            return Err(Error::usage("the share of hidden genes is out of range")
                .at_key("--mask")
                .expected("above 0, at most 1")
                .found(masking.share.to_string()));
        }
        if asked == Asked::NextGene && share.is_some() {
            return Err(Error::usage("nothing is hidden where the next gene is asked for")
                .at_key("--mask")
                .remedy(format!("leave it out for {}", imitation.family())));
        }
        let network = Network::new(stored.blocks(first)?, architecture.width(), 1, fit.method)?;
        let (mut tensors, names) = weights(imitation, asked, architecture.as_ref(), &stored)?;
        let task =
            Task { architecture: architecture.as_ref(), objective: objective.clone(), annotation: None };
        tensors.extend(heads(&task, &stored)?);
        let plain = Frozen::new(tensors)?;
        let mut frozen = plain.clone();
        for (i, layout) in stored.layouts.iter().skip(first).enumerate() {
            for (name, piece) in pieces(i, layout, fit.method) {
                let own = stored.full_name(&name).ok().and_then(|n| names.get(n));
                let own = own.ok_or_else(|| {
                    Error::unsupported("a tensor of a block is not where masked training looks for it")
                        .in_file(&stored.path)
                        .at_key(name.clone())
                })?;
                frozen.train(own, piece)?;
            }
        }
        Ok(Self { architecture, objective, masking, asked, stored, network, frozen, plain })
    }

    pub(super) fn task(&self) -> Task<'_> {
        let annotation: Option<Annotation> = None;
        Task { architecture: self.architecture.as_ref(), objective: self.objective.clone(), annotation }
    }

    /// What is trained, before training: a fold of another number draws other values.
    pub(super) fn first_values(&self, seed: u64, fold: u64) -> Vec<NamedTensor> {
        let mut all = self.network.first_values(seed, fold);
        // The readout is the model's own.
        all.retain(|t| !t.name.starts_with("head."));
        all
    }

    /// The network with what was trained.
    pub(super) fn adapted(&self, trained: Vec<NamedTensor>) -> Result<Params> {
        Ok(Params::new(trained)?.over(self.frozen.clone()))
    }

    /// The network as it is published.
    pub(super) fn published(&self) -> Params {
        Params::default().over(self.plain.clone())
    }

    /// Adapters that are trained but have no part in the forward pass: what a training must not gain by.
    #[cfg(test)]
    pub(super) fn disconnect(&mut self) {
        self.frozen = self.plain.clone();
    }

    /// Whether the network takes the values of the tokens.
    pub(super) fn takes_values(&self) -> bool {
        matches!(self.objective, Objective::MaskedValues { .. } | Objective::MaskedBins { .. })
    }
}

/// The family's masked training.
fn family(model: &dyn Model) -> Result<&'static dyn Imitation> {
    let id = model.family().id;
    imitation::find(id).map_err(|_| {
        Error::unsupported("masked expression is not offered for this family")
            .expected(format!("one of: {}", imitation::families().join(", ")))
            .found(id)
            .remedy("learn a label or a number instead: --label or --target")
    })
}

/// The network's weights, and its names for the tensors of the file.
fn weights(
    imitation: &dyn Imitation,
    asked: Asked,
    architecture: &dyn Architecture,
    stored: &Stored,
) -> Result<(Vec<NamedTensor>, HashMap<String, String>)> {
    let (mut tensors, mut names) = (vec![], HashMap::new());
    for (name, shape) in architecture.tensors() {
        let there = imitation.spellings(&name).into_iter().find(|n| stored.checkpoint.info(n).is_some());
        let values = match there {
            Some(there) => {
                let values = stored.checkpoint.read_f32(&there)?;
                names.insert(there, name.clone());
                values
            }
            // A readout that this question does not use.
            None if imitation.untrained(asked).iter().any(|u| name.starts_with(u)) => {
                vec![0.0; shape.iter().product()]
            }
            None => {
                return Err(Error::unsupported("the checkpoint lacks a part of the network that is asked")
                    .in_file(&stored.path)
                    .at_key(name)
                    .expected(format!("a checkpoint with the readout of {}", asked.word()))
                    .remedy("use the pretrained checkpoint, not one that was cut for another task"));
            }
        };
        tensors.push(NamedTensor { name, shape, values });
    }
    Ok((tensors, names))
}

/// Readouts beside the network, which `pretrain` leaves beside the checkpoint.
fn heads(task: &Task<'_>, stored: &Stored) -> Result<Vec<NamedTensor>> {
    let wanted = task.heads();
    if wanted.is_empty() {
        return Ok(vec![]);
    }
    let path = stored.path.with_file_name(HEADS);
    if !path.exists() {
        return Err(Error::unsupported("the checkpoint has no readout for this objective")
            .in_file(&path)
            .remedy("use another --objective, or a checkpoint that pretrain trained with this one"));
    }
    let file = Checkpoint::open(&path)?;
    let read = |t: NamedTensor| Ok(NamedTensor { values: file.read_f32(&t.name)?, ..t });
    wanted.into_iter().map(read).collect()
}

/// What is trained of a block, by the names of tensors; `i` counts trained blocks.
fn pieces(i: usize, layout: &BlockLayout, method: Method) -> Vec<(String, Piece)> {
    let mut out = vec![];
    for (part, map) in Part::ALL.iter().zip(&layout.maps) {
        let name = format!("blocks.{i}.{}", part.word());
        match method {
            Method::Lora { rank, alpha } => {
                let change = Change::LowRank {
                    a: format!("{name}.lora_a"),
                    b: format!("{name}.lora_b"),
                    scale: alpha / rank as f64,
                };
                out.push((map.weight.clone(), piece(map, map.transposed, change)));
            }
            _ => {
                let whole = |part: &str| Change::Whole(format!("{name}.{part}"));
                out.push((map.weight.clone(), piece(map, map.transposed, whole("weight"))));
                out.extend(map.bias.iter().map(|b| (b.clone(), piece(map, false, whole("bias")))));
            }
        }
    }
    if method == Method::Full {
        let d = layout.maps[0].n_in;
        for (k, norm) in layout.norms.iter().enumerate() {
            let whole = |part: &str| Piece {
                rows: 0..d,
                transposed: false,
                change: Change::Whole(format!("blocks.{i}.norm{}.{part}", k + 1)),
            };
            out.push((norm.weight.clone(), whole("weight")));
            out.extend(norm.bias.iter().map(|b| (b.clone(), whole("bias"))));
        }
    }
    out
}

fn piece(map: &StoredMap, transposed: bool, change: Change) -> Piece {
    Piece { rows: map.rows.clone(), transposed, change }
}
