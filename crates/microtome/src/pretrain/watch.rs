//! Logs of a run, and the state that it can go on from.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use microtome_core::{Error, ErrorKind, Progress, Result};
use microtome_train::net::NamedTensor;
use microtome_train::pretrain::{Baselines, Guess, Kept, Record, Validated, Watcher};
use microtome_weights::{Checkpoint, TensorData, write_safetensors};
use serde_json::Value;

use super::tensorboard::Events;
use crate::hash;

/// The file that holds weights, moments and place in the data: one file, so that it is whole or not there.
pub(crate) struct State {
    path: PathBuf,
    /// Hash of everything that decides the losses.
    asked: String,
}

impl State {
    pub(super) fn new(work: &Path, asked: &Value) -> Self {
        Self { path: work.join("state.safetensors"), asked: hash::of_bytes(asked.to_string().as_bytes()) }
    }

    /// A state of its own name; `asked` is the hash of everything that decides the losses.
    pub(crate) fn at(path: PathBuf, asked: &str) -> Self {
        Self { path, asked: asked.into() }
    }

    /// Replaces the state that was kept.
    pub(crate) fn write(&self, kept: &Kept) -> Result<()> {
        let text = serde_json::to_string(kept)
            .map_err(|e| Error::output("cannot write the state as JSON").caused_by(e))?;
        let tensors: Vec<_> = kept
            .tensors
            .iter()
            .map(|t| (t.name.clone(), t.shape.clone(), TensorData::F32(&t.values)))
            .collect();
        write_safetensors(
            &self.path,
            &tensors,
            &[("asked".into(), self.asked.clone()), ("kept".into(), text)],
        )
    }

    /// The state that was kept, if any. Errors when it belongs to another recipe or other data.
    pub(crate) fn read(&self) -> Result<Option<Kept>> {
        if !self.path.exists() {
            return Ok(None);
        }
        let checkpoint = Checkpoint::open(&self.path)?;
        let note = |name: &str| {
            checkpoint.metadata().iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str()).ok_or_else(|| {
                Error::unreadable("the kept state lacks a note").in_file(&self.path).at_key(name.to_owned())
            })
        };
        if note("asked")? != self.asked {
            return Err(Error::usage("the unfinished run was asked for something else")
                .in_file(&self.path)
                .expected("the same data, recipe and version of the program")
                .remedy("repeat the command as it was, or pass --overwrite to begin again"));
        }
        let kept: Kept = serde_json::from_str(note("kept")?).map_err(|e| {
            Error::unreadable("the kept state cannot be read").in_file(&self.path).caused_by(e)
        })?;
        let tensors = checkpoint
            .names()
            .into_iter()
            .map(|name| {
                let shape = checkpoint.info(name).map(|t| t.shape.clone()).unwrap_or_default();
                Ok(NamedTensor { name: name.into(), shape, values: checkpoint.read_f32(name)? })
            })
            .collect::<Result<_>>()?;
        Ok(Some(Kept { tensors, ..kept }))
    }
}

/// `curve.csv`, the event file, notes for the user, and the state.
pub(super) struct Log<'p> {
    csv: File,
    csv_path: PathBuf,
    events: Events,
    state: State,
    baseline: Option<Guess>,
    last: f64,
    steps: u64,
    progress: &'p dyn Progress,
}

const HEADER: &str =
    "step,loss,held_out_loss,learning_rate,gradient_norm,tokens,cells,loss_besides,held_out_accuracy\n";

impl<'p> Log<'p> {
    /// Begins the logs again up to where the run goes on.
    pub(super) fn begin(
        out: &Path,
        state: State,
        from: Option<&Kept>,
        steps: u64,
        progress: &'p dyn Progress,
    ) -> Result<Self> {
        let csv_path = out.join("curve.csv");
        let csv = File::create(&csv_path)
            .map_err(|e| Error::output("cannot write the log").in_file(&csv_path).caused_by(e))?;
        let events = Events::create(out)?;
        let mut log = Self { csv, csv_path, events, state, baseline: None, last: f64::NAN, steps, progress };
        log.line(HEADER.into())?;
        if let Some(kept) = from {
            // Of equal steps the record comes first, as it was written.
            let mut rows: Vec<(u64, u8, String)> =
                kept.records.iter().map(|r| (r.step, 0, of_record(r))).collect();
            rows.extend(kept.validations.iter().map(|v| (v.step, 1, of_validated(v))));
            rows.sort_by_key(|(step, kind, _)| (*step, *kind));
            rows.into_iter().try_for_each(|(_, _, row)| log.line(row))?;
        }
        Ok(log)
    }

    fn line(&mut self, text: String) -> Result<()> {
        self.csv
            .write_all(text.as_bytes())
            .map_err(|e| Error::output("cannot write the log").in_file(&self.csv_path).caused_by(e))
    }

    /// Everything on disk.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.csv
            .sync_all()
            .map_err(|e| Error::output("cannot write the log").in_file(&self.csv_path).caused_by(e))
    }
}

fn of_record(r: &Record) -> String {
    format!("{},{},,{},{},{},{},{},\n", r.step, r.loss, r.rate, r.gradient_norm, r.tokens, r.cells, r.besides)
}

fn of_validated(v: &Validated) -> String {
    let accuracy = v.accuracy.map(|a| a.to_string()).unwrap_or_default();
    format!("{},,{},,,,,,{accuracy}\n", v.step, v.loss)
}

impl Watcher for Log<'_> {
    fn baselines(&mut self, b: &Baselines) -> Result<()> {
        self.baseline = b.best().cloned();
        let guesses: Vec<String> =
            b.guesses.iter().map(|g| format!("{:.4} {} by {}", g.loss, b.unit, g.by)).collect();
        self.progress.note(&format!(
            "to beat on {} {} of {} held-out cells: {}",
            b.n_tokens,
            b.asked,
            b.n_cells,
            guesses.join(", ")
        ));
        Ok(())
    }

    fn step(&mut self, r: &Record) -> Result<()> {
        self.last = r.loss;
        self.line(of_record(r))?;
        self.events.scalar("loss/train", r.step, r.loss)?;
        self.events.scalar("learning_rate", r.step, r.rate)?;
        if r.besides != 0.0 {
            self.events.scalar("loss/besides", r.step, r.besides)?;
        }
        self.events.scalar("gradient_norm", r.step, r.gradient_norm)
    }

    fn validated(&mut self, v: &Validated) -> Result<()> {
        self.line(of_validated(v))?;
        self.events.scalar("loss/held_out", v.step, v.loss)?;
        let beside = self.baseline.as_ref().map(|b| format!(" ({} {:.4})", b.by, b.loss)).unwrap_or_default();
        let classes = v.accuracy.map(|a| format!(", {:.1} % of the classes", 100.0 * a)).unwrap_or_default();
        if let Some(a) = v.accuracy {
            self.events.scalar("accuracy/held_out", v.step, a)?;
        }
        let last = if self.last.is_nan() { String::new() } else { format!("loss {:.4}, ", self.last) };
        self.progress.note(&format!(
            "step {} of {}: {last}held-out loss {:.4}{beside}{classes}",
            v.step, self.steps, v.loss
        ));
        Ok(())
    }

    fn keep(&mut self, kept: &Kept) -> Result<()> {
        self.finish()?;
        self.state.write(kept)
    }
}

/// Says what is left behind when a run ends before its time.
pub(super) fn explain(e: Error, work: &Path) -> Error {
    match e.kind() {
        ErrorKind::Interrupted => e.remedy("the state is kept: repeat the command with --resume to go on"),
        ErrorKind::CheckFailed => e.in_file(work.join("state.safetensors")),
        _ => e,
    }
}
