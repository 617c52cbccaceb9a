//! Weights of models as the analyses take them.

use microtome_anatomy::{AttentionWeights, Norm, NormKind};
use microtome_models::{AttentionWeights as Stored, NormPlace};

/// The norm between the stream and the projections; none in post-LN blocks, or where the store does not hold it.
pub(crate) fn norm_of(w: &Stored) -> Option<Norm> {
    let norm = w.norm1.as_ref().filter(|_| w.norm_place == NormPlace::BeforeAttention)?;
    Some(Norm {
        kind: if norm.centres { NormKind::Layer } else { NormKind::Rms },
        weight: Some(norm.weight.clone()),
        bias: norm.bias.clone(),
        eps: f64::from(norm.eps),
    })
}

/// `None` for scores with a soft cap, which no sum of products states.
pub(super) fn of_stored(w: &Stored) -> Option<AttentionWeights> {
    w.soft_cap.is_none().then(|| AttentionWeights {
        n_heads: w.n_heads,
        n_kv_heads: w.n_kv_heads,
        w_q: w.w_q.clone(),
        w_k: w.w_k.clone(),
        w_v: Some(w.w_v.clone()),
        w_o: Some(w.w_o.clone()),
        b_q: w.b_q.clone(),
        b_k: w.b_k.clone(),
        b_v: w.b_v.clone(),
        scale: Some(f64::from(w.scale)),
        norm: norm_of(w),
    })
}
