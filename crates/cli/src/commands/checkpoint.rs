//! `models`, `inspect`, `init`.

use microtome::Inspection;
use microtome_core::Result;

use crate::args;
use crate::print;

pub(super) fn models(a: &args::Json) -> Result<u8> {
    let families = microtome::models();
    if a.json {
        print::json(&families)?;
        return Ok(0);
    }
    for family in families {
        print::line(format!("{} ({})", family.id, family.name));
        print::line(format!("  {}", family.about));
        let organisms: Vec<String> = family.organisms.iter().map(microtome_core::Organism::name).collect();
        print::pairs(&[
            ("  paper", family.paper.into()),
            ("  reference", family.reference.into()),
            ("  licence", format!("code {}, weights {}", family.licence.code, family.licence.weights)),
            ("  organism", organisms.join(", ")),
            ("  norm", family.norm_placement.into()),
            ("  evidence", family.evidence.to_string()),
            ("  verified", family.verified.into()),
            ("  files", family.files.join("; ")),
        ]);
        print::line("");
        let rows: Vec<Vec<String>> = family
            .variants
            .iter()
            .map(|v| {
                vec![
                    format!("  {}", v.id),
                    v.name.into(),
                    v.n_blocks.to_string(),
                    v.d_model.to_string(),
                    v.n_heads.to_string(),
                    v.d_mlp.to_string(),
                    v.max_tokens.to_string(),
                    print::thousands(v.d_vocab as u64),
                    print::thousands(v.n_parameters),
                ]
            })
            .collect();
        print::table(
            &[
                "  preset",
                "published as",
                "blocks",
                "width",
                "heads",
                "ffn",
                "tokens",
                "vocabulary",
                "parameters",
            ],
            &rows,
        );
        print::line("");
    }
    Ok(0)
}

pub(super) fn inspect(a: &args::Inspect) -> Result<u8> {
    let found = microtome::inspect(&a.checkpoint)?;
    if a.json {
        print::json(&found)?
    } else {
        describe(&found)
    }
    Ok(0)
}

pub(super) fn init(a: &args::Init) -> Result<u8> {
    let made = microtome::init(&a.family, &a.preset, &a.like, a.seed, &a.out)?;
    if a.json {
        print::json(&made)?;
    } else {
        print::line(format!("wrote an untrained model to {}", a.out.display()));
        describe(&made);
    }
    Ok(0)
}

fn describe(i: &Inspection) {
    let info = &i.info;
    print::pairs(&[
        ("family", format!("{} ({})", info.family, i.family_name)),
        ("variant", info.variant.clone()),
        (
            "shape",
            format!(
                "{} blocks, width {}, {} heads, feed-forward {}, up to {} tokens, vocabulary {}",
                info.n_blocks,
                info.d_model,
                info.n_heads,
                info.d_mlp,
                info.max_tokens,
                print::thousands(info.d_vocab as u64)
            ),
        ),
        ("parameters", print::thousands(info.n_parameters)),
        ("norm", i.norm_placement.into()),
        ("licence", format!("code {}, weights {}", i.licence.code, i.licence.weights)),
        ("paper", i.paper.into()),
        ("evidence", i.evidence.to_string()),
        ("verified", i.verified.into()),
    ]);
    for (name, value) in &info.choices {
        print::line(format!(
            "choice      {name} = {}",
            value.as_str().map_or_else(|| value.to_string(), Into::into)
        ));
    }
    for (role, path) in &info.files {
        print::line(format!("file        {} ({role})", path.display()));
    }
    print::line(format!(
        "tensors     {} used, {} ignored with a reason, {} missing, {} unexpected",
        i.audit.used.len(),
        i.audit.ignored.len(),
        i.audit.missing.len(),
        i.audit.unexpected.len()
    ));
    for t in &i.audit.ignored {
        print::line(format!("  ignored   {}: {}", t.name, t.reason));
    }
    for name in &i.audit.missing {
        print::line(format!("  missing   {name}"));
    }
    let sites: Vec<String> = i
        .sites
        .iter()
        .filter(|s| s.site.block().is_none_or(|b| b == 0))
        .map(|s| s.site.to_string())
        .collect();
    print::line(format!("sites       {}", sites.join(", ").replace("blocks.0.", "blocks.{i}.")));
}
