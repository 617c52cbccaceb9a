//! Progress on a terminal (a bar with rate and ETA) or elsewhere (one line a minute), and Ctrl-C.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use microtome_core::Progress;

static STOPPED: AtomicBool = AtomicBool::new(false);

/// First Ctrl-C asks the work to stop after the chunk at hand, the second one ends the process at once.
pub(crate) fn listen_for_ctrl_c() {
    // Without a handler Ctrl-C still ends the process; finished chunks are safe either way.
    let _ = ctrlc::set_handler(|| {
        if STOPPED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        let _ = writeln!(
            std::io::stderr(),
            "\nstopping after the chunk at hand; press Ctrl-C again to stop at once"
        );
    });
}

/// Writes to stderr.
pub(crate) struct Terminal {
    quiet: bool,
    interactive: bool,
    stage: Mutex<Option<Stage>>,
}

struct Stage {
    name: String,
    unit: String,
    total: u64,
    done: u64,
    began: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
}

/// How often a line is written where there is no terminal.
const EVERY: Duration = Duration::from_secs(60);

impl Terminal {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, interactive: std::io::stderr().is_terminal(), stage: Mutex::new(None) }
    }

    fn with(&self, change: impl FnOnce(&mut Option<Stage>)) {
        if let (false, Ok(mut stage)) = (self.quiet, self.stage.lock()) {
            change(&mut stage);
        }
    }
}

fn say(text: &str) {
    // A closed stderr is no reason to stop working.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Rate and time left. Both are over everything done so far: whoever reports progress reports it in proportion to the work, so the rate
/// is steady, while minibatches come in lumps that a short window would take for a change of pace.
fn speed(done: u64, total: u64, elapsed: Duration) -> String {
    if done == 0 {
        return "time left not known yet".into();
    }
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-9);
    format!("{rate:.1} a second, about {} left", seconds(total.saturating_sub(done) as f64 / rate))
}

fn seconds(t: f64) -> String {
    let t = t.round() as u64;
    match t {
        0..60 => format!("{t} s"),
        60..3600 => format!("{} min {:02} s", t / 60, t % 60),
        _ => format!("{} h {:02} min", t / 3600, t % 3600 / 60),
    }
}

impl Progress for Terminal {
    fn begin(&self, stage: &str, total: u64, unit: &str) {
        let bar = (self.interactive && !self.quiet).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let template = "{msg:<34} {bar:24} {pos}/{len} {prefix}  {speed}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.with_key("speed", |s: &ProgressState, out: &mut dyn std::fmt::Write| {
                    // A bar has no way to tell of a failure.
                    let _ = out.write_str(&speed(s.pos(), s.len().unwrap_or(0), s.elapsed()));
                }));
            }
            bar.set_message(stage.to_string());
            bar.set_prefix(unit.to_string());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        let new = Stage { name: stage.into(), unit: unit.into(), total, done: 0, began: now, said: now, bar };
        self.with(|s| *s = Some(new));
    }

    fn advance(&self, n: u64) {
        self.with(|stage| {
            let Some(s) = stage else { return };
            s.done += n;
            if let Some(bar) = &s.bar {
                bar.inc(n);
            } else if s.said.elapsed() >= EVERY {
                s.said = Instant::now();
                let speed = speed(s.done, s.total, s.began.elapsed());
                say(&format!("{}: {} of {} {} ({speed})", s.name, s.done, s.total, s.unit));
            }
        });
    }

    fn end(&self) {
        self.with(|stage| {
            if let Some(s) = stage.take() {
                if let Some(bar) = s.bar {
                    bar.finish_and_clear();
                }
                let took = s.began.elapsed().as_secs_f64();
                if took >= 0.5 {
                    say(&format!("{}: {} {} in {}", s.name, s.done, s.unit, seconds(took)));
                }
            }
        });
    }

    fn note(&self, message: &str) {
        self.with(|stage| match stage.as_ref().and_then(|s| s.bar.as_ref()) {
            Some(bar) => bar.suspend(|| say(&format!("note: {message}"))),
            None => say(&format!("note: {message}")),
        });
    }

    fn stopped(&self) -> bool {
        STOPPED.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_in_proportion_to_what_is_done() {
        assert_eq!(speed(0, 10, Duration::from_secs(5)), "time left not known yet");
        assert_eq!(speed(20, 80, Duration::from_secs(60)), "0.3 a second, about 3 min 00 s left");
        assert_eq!(speed(80, 80, Duration::from_secs(60)), "1.3 a second, about 0 s left");
    }
}
