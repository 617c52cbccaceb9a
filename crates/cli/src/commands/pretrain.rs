//! `pretrain`.

use microtome::{AnnotationOptions, Asked, Begin, PretrainOptions, Shape, Split};
use microtome_core::{Error, Progress, Result};

use super::command_line;
use crate::args::{self, Decay, Objective};
use crate::print;

pub(super) fn pretrain(a: &args::Pretrain, progress: &dyn Progress) -> Result<u8> {
    let r = &a.recipe;
    let recipe = microtome::Recipe {
        steps: r.steps.unwrap_or(1000),
        batch_tokens: r.batch_tokens,
        part_tokens: r.part_tokens,
        learning_rate: r.lr,
        warm_up: r.warm_up,
        decay: match r.decay {
            Decay::Linear => microtome::Decay::Linear,
            Decay::Cosine => microtome::Decay::Cosine,
            Decay::Constant => microtome::Decay::Constant,
        },
        weight_decay: r.weight_decay,
        clip: r.clip,
        dropout: r.dropout,
        seed: a.seed,
        validate_every: r.validate_every,
        patience: r.patience,
        keep_every: r.keep_every,
        validation_cells: a.cells.validation_cells,
        ..microtome::Recipe::default()
    };
    let options = PretrainOptions {
        data: a.data.clone(),
        family: a.family.clone(),
        begin: begin(a)?,
        asked: a.objective.map(asked),
        annotation: a.annotation.clone().map(|obs| AnnotationOptions { obs, weight: a.annotation_weight }),
        split: Split {
            held_out: a.cells.held_out,
            unit: a.cells.unit.clone(),
            leave_out: a.cells.leave_out.clone(),
        },
        recipe,
        mask: r.mask,
        epochs: r.epochs,
        out: a.out.clone(),
        resume: a.resume,
        overwrite: a.overwrite,
        command: command_line(),
    };
    let report = microtome::pretrain(&options, progress)?;
    if a.json {
        print::json(&report)?;
        return Ok(0);
    }
    let unit = report.baselines.as_ref().map_or("", |b| b.unit.as_str());
    let loss = |x: f64| format!("{x:.4} {unit}");
    let mut pairs = vec![
        ("wrote", report.out.display().to_string()),
        ("parameters", print::thousands(report.n_parameters)),
        (
            "trained",
            format!(
                "{} steps over {} cells, {:.1} epochs, {} tokens{}",
                print::thousands(report.steps),
                print::thousands(report.n_train as u64),
                report.epochs,
                print::thousands(report.tokens),
                if report.stopped_early { " (stopped early)" } else { "" }
            ),
        ),
    ];
    if let Some((step, best)) = report.best {
        pairs
            .push(("held-out loss", format!("{} at step {step}, the weights that were written", loss(best))));
    }
    if let Some(b) = &report.baselines {
        let guesses: Vec<String> =
            b.guesses.iter().map(|g| format!("{} by {}", loss(g.loss), g.by)).collect();
        pairs.push(("guesses", guesses.join("; ")));
    }
    if let Some(a) = &report.annotation {
        let share = |x: Option<f64>| x.map_or("none".into(), |x| format!("{:.1} %", 100.0 * x));
        let (found, guess) = (share(a.accuracy), share(a.most_frequent));
        pairs.push((
            "annotation",
            format!(
                "{found} of held-out cells right ({guess} by the most frequent of {} classes)",
                a.classes.len()
            ),
        ));
    }
    print::pairs(&pairs);
    Ok(0)
}

fn begin(a: &args::Pretrain) -> Result<Begin> {
    let s = &a.size;
    let changed = [s.layers, s.width, s.heads, s.feed_forward, s.max_tokens].iter().any(Option::is_some);
    if changed && a.from.is_some() {
        return Err(Error::usage("the size is that of the checkpoint")
            .remedy("leave out --layers, --width, --heads, --feed-forward and --max-tokens"));
    }
    let own = || {
        let preset = Shape::preset(&a.preset)?;
        Ok::<_, Error>(Shape {
            layers: s.layers.unwrap_or(preset.layers),
            width: s.width.unwrap_or(preset.width),
            heads: s.heads.unwrap_or(preset.heads),
            feed_forward: s.feed_forward.unwrap_or(preset.feed_forward),
            max_tokens: s.max_tokens.unwrap_or(preset.max_tokens),
        })
    };
    Ok(match (&a.from, &a.like) {
        (Some(path), _) => Begin::From(path.clone()),
        (None, Some(like)) if changed || Shape::preset(&a.preset).is_ok() => {
            Begin::Over { shape: own()?, like: like.clone() }
        }
        (None, Some(like)) => Begin::Published { preset: a.preset.clone(), like: like.clone() },
        (None, None) => Begin::New(own()?),
    })
}

/// What a network is asked, by the word of the command line.
pub(super) fn asked(objective: Objective) -> Asked {
    match objective {
        Objective::MaskedGenes => Asked::MaskedGenes,
        Objective::NextGene => Asked::NextGene,
        Objective::Regression => Asked::Regression,
        Objective::Classification => Asked::Classification,
    }
}
