//! Tensors by name and expected shape, with an account of every tensor of the file.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use microtome_core::{Error, Result, closest};

use crate::audit::{Audit, IgnoredTensor, UsedTensor};
use crate::checkpoint::Checkpoint;
use crate::glob;
use crate::pickle::Value;
use crate::tensor::TensorInfo;

/// Hands the tensors of a checkpoint to a model and keeps the account for [`Audit`].
///
/// Names are those of the checkpoint after [`Loader::scope`] and [`Loader::strip_prefix`]. Methods take `&self`, so that
/// blocks can be loaded in parallel.
pub struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    state: Mutex<State>,
}

struct State {
    /// Offered name of each tensor, in file order; `None` outside of the scope.
    offered: Vec<(String, Option<String>)>,
    /// Offered name to position.
    index: HashMap<String, usize>,
    scope: Option<String>,
    fate: Vec<Fate>,
    rules: Vec<(String, String)>,
    missing: Vec<String>,
    absent: Vec<String>,
}

#[derive(Clone, PartialEq)]
enum Fate {
    Open,
    Used,
    Ignored(String),
}

impl<'a> Loader<'a> {
    /// A loader that offers every tensor by its full name.
    pub fn new(checkpoint: &'a Checkpoint) -> Self {
        let names = checkpoint.names();
        let offered = names.iter().map(|n| ((*n).to_owned(), Some((*n).to_owned()))).collect();
        let index = names.iter().enumerate().map(|(i, n)| ((*n).to_owned(), i)).collect();
        let state = State {
            offered,
            index,
            scope: None,
            fate: vec![Fate::Open; names.len()],
            rules: Vec::new(),
            missing: Vec::new(),
            absent: Vec::new(),
        };
        Self { checkpoint, state: Mutex::new(state) }
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &'a Checkpoint {
        self.checkpoint
    }

    /// Roots the names at a dictionary of the file, such as `state_dict` or `state.model`. What lies outside is no longer
    /// offered, and is listed as ignored.
    ///
    /// # Errors
    /// When no tensor lies inside.
    pub fn scope(&self, path: &str) -> Result<()> {
        let prefix = format!("{}.", path.trim_end_matches('.'));
        let mut state = self.lock();
        if !state.offered.iter().any(|(_, o)| o.as_ref().is_some_and(|o| o.starts_with(&prefix))) {
            return Err(Error::mismatch("the checkpoint has no tensors at this path")
                .in_file(self.checkpoint.path())
                .at_key(path)
                .found(sample(state.offered.iter().filter_map(|(_, o)| o.as_deref()))));
        }
        for (_, offered) in &mut state.offered {
            *offered = offered.as_ref().and_then(|o| o.strip_prefix(&prefix)).map(str::to_owned);
        }
        state.scope = Some(match state.scope.take() {
            Some(outer) => format!("{outer}.{}", path.trim_end_matches('.')),
            None => path.trim_end_matches('.').to_owned(),
        });
        self.reindex(&mut state)
    }

    /// Drops a prefix (`model.`, `module.`, `bert.`) from the names that have it; the others stay as they are. Says whether
    /// any name had it.
    ///
    /// # Errors
    /// When two tensors would then share a name.
    pub fn strip_prefix(&self, prefix: &str) -> Result<bool> {
        let mut state = self.lock();
        let mut any = false;
        for (_, offered) in &mut state.offered {
            if let Some(rest) = offered.as_ref().and_then(|o| o.strip_prefix(prefix)) {
                *offered = Some(rest.to_owned());
                any = true;
            }
        }
        self.reindex(&mut state)?;
        Ok(any)
    }

    fn reindex(&self, state: &mut State) -> Result<()> {
        let State { offered, index, .. } = state;
        index.clear();
        for (i, (full, name)) in offered.iter().enumerate() {
            let Some(name) = name else { continue };
            if let Some(first) = index.insert(name.clone(), i) {
                let first = offered.get(first).map_or("", |(f, _)| f);
                return Err(Error::mismatch("two tensors share a name once their prefix is dropped")
                    .in_file(self.checkpoint.path())
                    .at_key(name)
                    .found(format!("{first} and {full}")));
            }
        }
        Ok(())
    }

    /// Names on offer, in file order.
    pub fn names(&self) -> Vec<String> {
        self.lock().offered.iter().filter_map(|(_, o)| o.clone()).collect()
    }

    /// Whether a tensor is on offer.
    pub fn has(&self, name: &str) -> bool {
        self.lock().index.contains_key(name)
    }

    /// Shape and type of a tensor on offer.
    pub fn info(&self, name: &str) -> Option<&'a TensorInfo> {
        let full = self.full(name)?.1;
        self.checkpoint.info(&full)
    }

    /// Shape of a tensor on offer.
    pub fn shape(&self, name: &str) -> Option<&'a [usize]> {
        self.info(name).map(|i| i.shape.as_slice())
    }

    /// The object at a dotted path from the top of the file, whatever the scope.
    pub fn value(&self, path: &str) -> Option<&'a Value> {
        self.checkpoint.value(path)
    }

    /// A tensor of exactly this shape, as f32 in row-major order.
    ///
    /// # Errors
    /// When it is absent, of another shape, or unreadable.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let full = self.claim(name, shape)?;
        self.checkpoint.read_f32(&full)
    }

    /// The full name of a tensor of exactly this shape, whose rows are read later by [`Checkpoint::read_rows_f32`]; it counts as used.
    ///
    /// # Errors
    /// When it is absent or of another shape.
    pub fn table(&self, name: &str, shape: &[usize]) -> Result<String> {
        self.claim(name, shape)
    }

    /// A tensor of exactly this shape, as f64 in row-major order.
    ///
    /// # Errors
    /// When it is absent, of another shape, or unreadable.
    pub fn f64(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>> {
        let full = self.claim(name, shape)?;
        self.checkpoint.read_f64(&full)
    }

    /// A tensor of whole numbers of exactly this shape, in row-major order.
    ///
    /// # Errors
    /// When it is absent, of another shape, not of whole numbers, or unreadable.
    pub fn i64(&self, name: &str, shape: &[usize]) -> Result<Vec<i64>> {
        let full = self.claim(name, shape)?;
        self.checkpoint.read_i64(&full)
    }

    /// As [`Loader::f32`], but absence is fine.
    ///
    /// # Errors
    /// When it is of another shape or unreadable.
    pub fn optional_f32(&self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>> {
        if self.has(name) { self.f32(name, shape).map(Some) } else { Ok(None) }
    }

    /// Tensors whose offered or full name matches `glob` (`*` crosses dots) and that nothing uses are listed as ignored.
    pub fn ignore(&self, glob: &str, reason: &str) {
        self.lock().rules.push((glob.to_owned(), reason.to_owned()));
    }

    /// A tensor that the format may store twice. Absent, it is listed as missing with what stands in for it; present, it must
    /// equal `to` bit for bit and is listed as ignored.
    ///
    /// # Errors
    /// When both are present and differ, or `to` is absent.
    pub fn tied(&self, name: &str, to: &str) -> Result<()> {
        let Some((_, to_full)) = self.full(to) else { return Err(self.lost(to)) };
        let Some((at, full)) = self.full(name) else {
            self.lock().absent.push(format!("{name} (tied to {to})"));
            return Ok(());
        };
        if !self.checkpoint.same_bits(&full, &to_full)? {
            let describe = |n: &str| {
                self.checkpoint.info(n).map_or(String::new(), |i| format!("{:?} {}", i.shape, i.dtype))
            };
            return Err(Error::mismatch("the tensor should be a copy of another, but differs from it")
                .in_file(self.checkpoint.path())
                .at_key(name)
                .expected(format!("the same bits as {to} ({})", describe(&to_full)))
                .found(format!("different values ({})", describe(&full)))
                .remedy("the checkpoint was trained or edited without tying; it is not the published architecture"));
        }
        self.settle(at, Fate::Ignored(format!("tied to {to}")));
        Ok(())
    }

    /// Closes the account. Strict: tensors that nobody asked for, or that were asked for and absent, are an error.
    ///
    /// # Errors
    /// Strict only, listing both sorts with likely matches.
    pub fn finish(&self, strict: bool) -> Result<Audit> {
        let state = self.lock();
        let mut audit = Audit { missing: state.absent.clone(), ..Audit::default() };
        audit.missing.extend(state.missing.iter().cloned());
        for ((full, offered), fate) in state.offered.iter().zip(&state.fate) {
            let rule = || {
                let hit = |glob: &str| {
                    glob::matches(glob, full) || offered.as_ref().is_some_and(|o| glob::matches(glob, o))
                };
                state.rules.iter().find(|(g, _)| hit(g)).map(|(_, reason)| reason.clone())
            };
            let outside = || {
                offered.is_none().then(|| format!("outside {}", state.scope.as_deref().unwrap_or_default()))
            };
            let reason = match fate {
                Fate::Used => {
                    if let Some(info) = self.checkpoint.info(full) {
                        let (shape, dtype) = (info.shape.clone(), info.dtype.to_string());
                        audit.used.push(UsedTensor { name: full.clone(), shape, dtype });
                    }
                    continue;
                }
                Fate::Ignored(reason) => Some(reason.clone()),
                Fate::Open => rule().or_else(outside),
            };
            match reason {
                Some(reason) => audit.ignored.push(IgnoredTensor { name: full.clone(), reason }),
                None => audit.unexpected.push(full.clone()),
            }
        }
        if strict && !(audit.unexpected.is_empty() && state.missing.is_empty()) {
            return Err(self.complaint(&state.missing, &audit.unexpected));
        }
        Ok(audit)
    }

    fn complaint(&self, missing: &[String], unexpected: &[String]) -> Error {
        let mut found = Vec::new();
        if !missing.is_empty() {
            found.push(format!("missing: {}", sample(missing.iter().map(String::as_str))));
        }
        if !unexpected.is_empty() {
            found.push(format!("unexpected: {}", sample(unexpected.iter().map(String::as_str))));
        }
        let e = Error::mismatch("the checkpoint does not hold exactly the tensors of this model")
            .in_file(self.checkpoint.path())
            .expected("every tensor known and used, or ignored for a stated reason")
            .found(found.join("; "));
        let pair = missing.iter().find_map(|m| Some((m, closest(m, unexpected.iter().map(String::as_str))?)));
        match pair {
            Some((wanted, near)) => e.remedy(format!("is {near} meant to be {wanted}?")),
            None => e.remedy("check that the model family and variant are the right ones for this file"),
        }
    }

    /// Position and full name of a tensor on offer.
    fn full(&self, name: &str) -> Option<(usize, String)> {
        let state = self.lock();
        let at = *state.index.get(name)?;
        state.offered.get(at).map(|(full, _)| (at, full.clone()))
    }

    fn claim(&self, name: &str, shape: &[usize]) -> Result<String> {
        let Some((at, full)) = self.full(name) else { return Err(self.lost(name)) };
        let found = self.checkpoint.info(&full).map(|i| i.shape.as_slice()).unwrap_or_default();
        if found != shape {
            return Err(Error::mismatch("the tensor has another shape than the model needs")
                .in_file(self.checkpoint.path())
                .at_key(full)
                .expected(format!("{shape:?}"))
                .found(format!("{found:?}")));
        }
        self.settle(at, Fate::Used);
        Ok(full)
    }

    /// A used tensor stays used.
    fn settle(&self, at: usize, fate: Fate) {
        if let Some(slot) = self.lock().fate.get_mut(at).filter(|f| **f != Fate::Used) {
            *slot = fate;
        }
    }

    /// Notes that a wanted tensor is missing.
    fn lost(&self, name: &str) -> Error {
        let mut state = self.lock();
        if !state.missing.iter().any(|m| m == name) {
            state.missing.push(name.to_owned());
        }
        let open = || {
            state
                .offered
                .iter()
                .zip(&state.fate)
                .filter(|(_, f)| **f == Fate::Open)
                .filter_map(|((_, o), _)| o.as_deref())
        };
        let e = Error::mismatch("the checkpoint lacks a tensor the model needs")
            .in_file(self.checkpoint.path())
            .at_key(name)
            .found(format!("unclaimed: {}", sample(open())));
        match closest(name, open()) {
            Some(near) => e.remedy(format!("did you mean {near}?")),
            None => e.remedy("check that the model family and variant are the right ones for this file"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave the account half-written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first few names, and how many there are in all.
fn sample<'n>(names: impl Iterator<Item = &'n str>) -> String {
    const SHOWN: usize = 10;
    let names: Vec<&str> = names.collect();
    let mut text = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => text.push_str("none"),
        n if n > SHOWN => text.push_str(&format!(", ... ({n} in all)")),
        _ => {}
    }
    text
}
