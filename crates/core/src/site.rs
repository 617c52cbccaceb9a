//! Sites: the named places of a forward pass, in TransformerLens' words without `hook_`.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result, closest};

/// What an axis of a tensor runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Cells.
    Cell,
    /// Tokens of one cell.
    Token,
    /// Attention heads.
    Head,
    /// Tokens that look.
    Query,
    /// Tokens that are looked at.
    Key,
    /// Width of one head.
    DHead,
    /// Width of the residual stream, or of the vector at hand.
    DModel,
    /// Genes.
    Gene,
    /// Vocabulary entries.
    Vocab,
}

/// A place inside one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockSite {
    /// Input of the block, `[cell, token, d_model]`.
    ResidPre,
    /// Queries, `[cell, head, token, d_head]`, after the bias and before scaling.
    Q,
    /// Keys, `[cell, head, token, d_head]`.
    K,
    /// Values, `[cell, head, token, d_head]`.
    V,
    /// Attention logits after scaling, `[cell, head, query, key]`.
    Scores,
    /// Attention weights, `[cell, head, query, key]`.
    Pattern,
    /// Weighted values, `[cell, head, token, d_head]`.
    Z,
    /// Output of the attention's out-projection, `[cell, token, d_model]`.
    AttnOut,
    /// Stream between attention and feed-forward, `[cell, token, d_model]`; after the first norm in a post-LN model.
    ResidMid,
    /// Output of the feed-forward part, `[cell, token, d_model]`.
    MlpOut,
    /// Output of the block, `[cell, token, d_model]`; after the second norm in a post-LN model, the raw sum in a pre-LN one.
    ResidPost,
}

impl BlockSite {
    /// All, in the order of the forward pass.
    pub const ALL: [Self; 11] = [
        Self::ResidPre,
        Self::Q,
        Self::K,
        Self::V,
        Self::Scores,
        Self::Pattern,
        Self::Z,
        Self::AttnOut,
        Self::ResidMid,
        Self::MlpOut,
        Self::ResidPost,
    ];

    /// Name after `blocks.{i}.`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ResidPre => "resid_pre",
            Self::Q => "attn.q",
            Self::K => "attn.k",
            Self::V => "attn.v",
            Self::Scores => "attn.scores",
            Self::Pattern => "attn.pattern",
            Self::Z => "attn.z",
            Self::AttnOut => "attn_out",
            Self::ResidMid => "resid_mid",
            Self::MlpOut => "mlp_out",
            Self::ResidPost => "resid_post",
        }
    }

    /// Axes of the tensor at this place.
    pub fn axes(self) -> &'static [Axis] {
        match self {
            Self::Q | Self::K | Self::V | Self::Z => &[Axis::Cell, Axis::Head, Axis::Token, Axis::DHead],
            Self::Scores | Self::Pattern => &[Axis::Cell, Axis::Head, Axis::Query, Axis::Key],
            _ => &[Axis::Cell, Axis::Token, Axis::DModel],
        }
    }
}

/// A named place in the forward pass.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Site {
    /// Input of block 0, `[cell, token, d_model]`.
    Embed,
    /// A place inside block `i` (counted from 0).
    Block(usize, BlockSite),
    /// After the norm that follows the last block, where a family has one.
    FinalNorm,
    /// The family's published cell vector, `[cell, d]`.
    CellEmbedding,
    /// The contextual gene vectors averaged over cells, `[gene, d]`.
    GeneEmbedding,
    /// A family's own extra site, such as `readout.mlm_logits`.
    Extra(String),
}

impl Site {
    /// The block's residual output.
    pub fn resid_post(block: usize) -> Self {
        Self::Block(block, BlockSite::ResidPost)
    }

    /// Index of the block, where it belongs to one.
    pub fn block(&self) -> Option<usize> {
        match self {
            Self::Block(i, _) => Some(*i),
            _ => None,
        }
    }

    /// Depth `l / n_blocks` of a point of the residual stream: 0 for `embed`, 1 for the last block's output and the final norm.
    /// `None` for places that are not on the stream.
    pub fn depth(&self, n_blocks: usize) -> Option<f64> {
        let n = n_blocks as f64;
        match self {
            Self::Embed => Some(0.0),
            Self::Block(i, BlockSite::ResidPre) => Some(*i as f64 / n),
            Self::Block(i, BlockSite::ResidPost) => Some((*i + 1) as f64 / n),
            Self::FinalNorm => Some(1.0),
            _ => None,
        }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embed => f.write_str("embed"),
            Self::Block(i, s) => write!(f, "blocks.{i}.{}", s.name()),
            Self::FinalNorm => f.write_str("final_norm"),
            Self::CellEmbedding => f.write_str("cell_embedding"),
            Self::GeneEmbedding => f.write_str("gene_embedding"),
            Self::Extra(name) => f.write_str(name),
        }
    }
}

impl FromStr for Site {
    type Err = Error;

    /// Names outside the table become [`Site::Extra`], except a `blocks.` name that is malformed.
    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "embed" => Self::Embed,
            "final_norm" => Self::FinalNorm,
            "cell_embedding" => Self::CellEmbedding,
            "gene_embedding" => Self::GeneEmbedding,
            _ => match name.strip_prefix("blocks.") {
                None => Self::Extra(name.to_string()),
                Some(rest) => {
                    let (number, place) = rest.split_once('.').unwrap_or((rest, ""));
                    let known = BlockSite::ALL.iter().find(|s| s.name() == place);
                    match (number.parse(), known) {
                        (Ok(i), Some(&s)) => Self::Block(i, s),
                        (Ok(_), None) if !place.is_empty() => Self::Extra(name.to_string()),
                        _ => {
                            return Err(Error::usage("not a site")
                                .expected("blocks.{number}.{place}, for instance blocks.3.resid_post")
                                .found(format!("\"{name}\"")));
                        }
                    }
                }
            },
        })
    }
}

impl serde::Serialize for Site {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Site names with `*` wildcards, comma separated: `embed,blocks.*.resid_post`.
#[derive(Clone, Debug, PartialEq)]
pub struct SitePattern(Vec<String>);

impl SitePattern {
    /// Splits at commas; an empty pattern is an error.
    pub fn parse(text: &str) -> Result<Self> {
        let parts: Vec<String> =
            text.split(',').map(|p| p.trim().to_string()).filter(|p| !p.is_empty()).collect();
        if parts.is_empty() {
            return Err(Error::usage("no site given").expected("for instance embed,blocks.*.resid_post"));
        }
        Ok(Self(parts))
    }

    /// The sites among `known` that match, in the order of `known`. A part that matches nothing is an error.
    pub fn select(&self, known: &[Site]) -> Result<Vec<Site>> {
        let names: Vec<String> = known.iter().map(ToString::to_string).collect();
        for part in &self.0 {
            if !names.iter().any(|n| matches(part, n)) {
                let near = closest(part, names.iter().map(String::as_str));
                return Err(Error::usage("no site of this model matches")
                    .at_key(part.clone())
                    .expected(format!("one of: {}", summarise(&names)))
                    .remedy(near.map_or("use * as a wildcard, as in blocks.*.resid_post".into(), |n| {
                        format!("did you mean {n}?")
                    })));
            }
        }
        Ok(known
            .iter()
            .zip(&names)
            .filter(|(_, n)| self.0.iter().any(|p| matches(p, n)))
            .map(|(s, _)| s.clone())
            .collect())
    }
}

/// Block numbers folded into `{0..n}` so that a message stays readable.
fn summarise(names: &[String]) -> String {
    let mut out: Vec<String> = vec![];
    let mut last = 0;
    for name in names {
        match name.strip_prefix("blocks.").and_then(|r| r.split_once('.')) {
            Some((i, _)) if i != "0" => last = last.max(i.parse().unwrap_or(0)),
            Some((_, place)) => out.push(format!("blocks.{{i}}.{place}")),
            None => out.push(name.clone()),
        }
    }
    format!("{} (blocks 0 to {last})", out.join(", "))
}

/// Glob match with `*` only.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|i| rest.is_char_boundary(i) && matches(tail, &rest[i..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for name in [
            "embed",
            "blocks.11.attn.pattern",
            "blocks.0.resid_post",
            "final_norm",
            "cell_embedding",
            "readout.mlm_logits",
        ] {
            assert_eq!(name.parse::<Site>().unwrap().to_string(), name);
        }
        assert!("blocks.x.resid_post".parse::<Site>().is_err());
    }

    #[test]
    fn depth_counts_blocks() {
        assert_eq!(Site::Embed.depth(4), Some(0.0));
        assert_eq!(Site::resid_post(3).depth(4), Some(1.0));
        assert_eq!(Site::Block(2, BlockSite::Q).depth(4), None);
    }

    #[test]
    fn patterns_select_in_order_and_refuse_typos() {
        let known = [Site::Embed, Site::resid_post(0), Site::Block(0, BlockSite::Q), Site::resid_post(1)];
        let got = SitePattern::parse("blocks.*.resid_post, embed").unwrap().select(&known).unwrap();
        assert_eq!(got, [Site::Embed, Site::resid_post(0), Site::resid_post(1)]);
        let e = SitePattern::parse("blocks.0.resid_pst").unwrap().select(&known).unwrap_err();
        assert!(e.to_string().contains("did you mean blocks.0.resid_post"), "{e}");
    }
}
