//! `finetune`, `merge`.

use microtome::{FinetuneOptions, FitOptions, Goal, Method};
use microtome_core::{Progress, Result};

use super::{command_line, data_options};
use crate::args::{self, FinetuneMethod};
use crate::print;

pub(super) fn finetune(a: &args::Finetune, progress: &dyn Progress) -> Result<u8> {
    let method = match a.method {
        FinetuneMethod::Lora => Method::Lora { rank: a.rank, alpha: a.alpha.unwrap_or(2.0 * a.rank as f64) },
        FinetuneMethod::Full => Method::Full,
        FinetuneMethod::Mlp => Method::Mlp { hidden: a.hidden },
    };
    let goal = match (&a.label, &a.target) {
        _ if a.masked => Goal::Masked { objective: a.objective.map(super::pretrain::asked), share: a.mask },
        (_, Some(column)) => Goal::Number(column.clone()),
        (label, None) => Goal::Label(label.clone().unwrap_or_default()),
    };
    let r = microtome::finetune(
        &FinetuneOptions {
            data: data_options(&a.data),
            model: a.model.clone(),
            goal,
            unit: a.unit.clone(),
            fit: FitOptions {
                method,
                epochs: a.epochs,
                patience: a.patience,
                batch: a.batch,
                learning_rate: a.learning_rate,
                balanced: !a.unbalanced,
                seed: a.data.seed,
                ..FitOptions::default()
            },
            first_block: a.first_block,
            merge: a.merge,
            n_bootstrap: a.bootstrap,
            out: a.out.clone(),
            resume: a.resume,
            overwrite: a.overwrite,
            command: command_line(),
        },
        progress,
    )?;
    if a.json {
        print::json(&r)?;
        return Ok(0);
    }
    print::line(&r.verdict);
    print::line(format!("wrote {}", r.report.display()));
    for folder in [&r.adapter, &r.merged].into_iter().flatten() {
        print::line(format!("wrote {}", folder.display()));
    }
    Ok(0)
}

pub(super) fn merge(a: &args::Merge) -> Result<u8> {
    let r = microtome::merge(&a.adapter, &a.model, &a.out)?;
    if a.json {
        print::json(&r)?;
    } else {
        print::line(format!("wrote {}: {} with {} changed blocks", r.out.display(), r.family, r.n_blocks));
    }
    Ok(0)
}
