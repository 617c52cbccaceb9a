//! Attention over the fused `q | k | v` rows of a block, and the places inside it.

use microtome_core::{BlockSite, Result, Site};
use microtome_kernels::{
    AttentionShape, KeyMaximum, Mask, RandomFeatures, Rows, Side, attention, attention_map, linear_attention,
    linear_attention_rows,
};

use super::Wanted;
use crate::{AttentionView, MapKind, SiteData, Tap, Tokens, attention_site};

/// How queries meet keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attend<'a> {
    /// Softmax attention under a mask.
    Softmax(Mask<'a>),
    /// Through random features, with one maximum over the keys of a cell or of the minibatch. There are no scores.
    Features(&'a RandomFeatures, KeyMaximum),
}

/// Places of a block that are not in the table of sites, and the place that each comes before: the outputs of both norms and, in
/// linear attention, the feature maps.
pub(crate) fn block_extras(i: usize) -> [(Site, BlockSite); 4] {
    [
        (norm_site(i, 1), BlockSite::Q),
        (features_site(i, 'q'), BlockSite::Pattern),
        (features_site(i, 'k'), BlockSite::Pattern),
        (norm_site(i, 2), BlockSite::MlpOut),
    ]
}

/// Site of the output of the norm before the attention (1) or the feed-forward part (2) of block `i`.
pub(crate) fn norm_site(i: usize, which: usize) -> Site {
    Site::Extra(format!("blocks.{i}.norm{which}"))
}

/// Site of the feature maps of block `i`: `q` or `k`.
pub(crate) fn features_site(i: usize, side: char) -> Site {
    Site::Extra(format!("blocks.{i}.attn.phi_{side}"))
}

/// `[token, q | k | v]` of a minibatch, with `n_heads` query heads and `n_kv_heads` key and value heads.
#[derive(Clone, Copy)]
pub(crate) struct Qkv<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) shape: &'a AttentionShape,
}

impl<'a> Qkv<'a> {
    /// Columns of a row.
    pub(crate) fn width(shape: &AttentionShape) -> usize {
        (shape.n_heads + 2 * shape.n_kv_heads) * shape.d_head
    }

    /// First column and heads of queries, keys, values.
    fn parts(&self) -> [(usize, usize); 3] {
        let (n, kv, d) = (self.shape.n_heads, self.shape.n_kv_heads, self.shape.d_head);
        [(0, n), (n * d, kv), ((n + kv) * d, kv)]
    }

    fn rows(&self) -> [Rows<'a>; 3] {
        let width = Self::width(self.shape);
        self.parts().map(|(first, _)| Rows::columns(self.data, width, first))
    }

    /// `z = attention(q, k, v)`, `[token, n_heads * d_head]`.
    pub(crate) fn attend(&self, attend: Attend<'_>, offsets: &[usize], z: &mut [f32]) {
        let [q, k, v] = self.rows();
        match attend {
            Attend::Softmax(mask) => attention(q, k, v, offsets, self.shape, mask, z),
            Attend::Features(features, over) => {
                let n_heads = self.shape.n_heads;
                let maxima = features.key_maxima(k, offsets, n_heads, over);
                linear_attention(q, k, v, offsets, n_heads, features, &maxima, z);
            }
        }
    }

    /// Offers queries, keys and values of block `i` where wanted.
    pub(crate) fn offer(&self, i: usize, tokens: &Tokens, wanted: &Wanted, tap: &mut dyn Tap) -> Result<()> {
        let (width, d_head) = (Self::width(self.shape), self.shape.d_head);
        for (place, (first, n_heads)) in
            [BlockSite::Q, BlockSite::K, BlockSite::V].into_iter().zip(self.parts())
        {
            if wanted.has_at(i, place) {
                let columns = first..first + n_heads * d_head;
                let data: Vec<f32> =
                    self.data.chunks_exact(width).flat_map(|r| &r[columns.clone()]).copied().collect();
                tap.offer(&Site::Block(i, place), tokens, SiteData::Heads { data: &data, n_heads, d_head })?;
            }
        }
        Ok(())
    }

    /// Offers the attention maps of block `i` where wanted, one cell at a time: memory is that of one cell's map.
    pub(crate) fn offer_maps(
        &self,
        i: usize,
        attend: Attend<'_>,
        tokens: &Tokens,
        wanted: &Wanted,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let maxima = match attend {
            Attend::Softmax(_) => vec![],
            Attend::Features(features, over) => {
                let [_, k, _] = self.rows();
                let maxima = features.key_maxima(k, &tokens.offsets, self.shape.n_heads, over);
                self.offer_features(i, features, &maxima, tokens, wanted, tap)?;
                maxima
            }
        };
        let site = attention_site(i);
        if let (true, Attend::Softmax(mask)) = (wanted.has(&site), attend) {
            let [q, k, _] = self.rows();
            let view = AttentionView { q, k, shape: self.shape, mask };
            tap.offer(&site, tokens, SiteData::Attention(view))?;
        }
        let (with_scores, with_pattern) =
            (wanted.has_at(i, BlockSite::Scores), wanted.has_at(i, BlockSite::Pattern));
        if !with_scores && !with_pattern {
            return Ok(());
        }
        let n_heads = self.shape.n_heads;
        let [q, k, _] = self.rows();
        for (cell, span) in tokens.offsets.windows(2).enumerate() {
            let span = span[0]..span[1];
            let n_tokens = span.len();
            let size = n_heads * n_tokens * n_tokens;
            let mut pattern = vec![0.0; size];
            let mut scores = with_scores.then(|| vec![0.0; size]);
            match attend {
                Attend::Softmax(mask) => {
                    attention_map(q, k, self.shape, mask, span, scores.as_deref_mut(), &mut pattern);
                }
                Attend::Features(features, _) => {
                    let queries: Vec<usize> = (0..n_tokens).collect();
                    let maximum = maxima[cell];
                    linear_attention_rows(q, k, span, &queries, n_heads, features, maximum, &mut pattern);
                }
            }
            let maps = [
                (BlockSite::Scores, scores.as_deref(), MapKind::Logits),
                (BlockSite::Pattern, with_pattern.then_some(&pattern[..]), MapKind::RowStochastic),
            ];
            for (place, data, kind) in maps {
                let Some(data) = data else { continue };
                let map = SiteData::Map { cell, data, n_heads, n_tokens, kind };
                tap.offer(&Site::Block(i, place), tokens, map)?;
            }
        }
        Ok(())
    }

    /// Offers the feature maps of queries and keys of block `i` where wanted.
    fn offer_features(
        &self,
        i: usize,
        features: &RandomFeatures,
        maxima: &[f32],
        tokens: &Tokens,
        wanted: &Wanted,
        tap: &mut dyn Tap,
    ) -> Result<()> {
        let (n_heads, [q, k, _]) = (self.shape.n_heads, self.rows());
        for (side, x) in [('q', q), ('k', k)] {
            let site = features_site(i, side);
            if !wanted.has(&site) {
                continue;
            }
            let mut data = vec![];
            for (span, &maximum) in tokens.offsets.windows(2).zip(maxima) {
                let side = if side == 'q' { Side::Query } else { Side::Key { maximum } };
                data.extend(features.of(x, span[0]..span[1], n_heads, side));
            }
            let d_head = features.n_features();
            tap.offer(&site, tokens, SiteData::Heads { data: &data, n_heads, d_head })?;
        }
        Ok(())
    }
}
