//! Shows a download: a bar on a terminal, a line now and then elsewhere.

use chaski_weights::{Progress, size};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a pipe hears nothing of a download, at most.
const SILENCE: Duration = Duration::from_secs(10);

pub(super) struct Shown {
    terminal: bool,
    step: Mutex<Option<Step>>,
}

struct Step {
    what: String,
    total: Option<u64>,
    bar: Option<ProgressBar>,
    told: Instant,
}

impl Shown {
    pub(super) fn new(terminal: bool) -> Self {
        Self { terminal, step: Mutex::new(None) }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.replace(None);
    }

    fn replace(&self, step: Option<Step>) {
        let mut current = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = std::mem::replace(&mut *current, step).and_then(|step| step.bar) {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Shown {
    fn step(&self, what: &str, total: Option<u64>) {
        let bar = self.terminal.then(|| bar(what, total));
        if bar.is_none() {
            tell(&match total {
                Some(total) => format!("{what} ({})", size(total)),
                None => what.to_owned(),
            });
        }
        self.replace(Some(Step { what: what.to_owned(), total, bar, told: Instant::now() }));
    }

    fn at(&self, bytes: u64) {
        let mut current = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(step) = &mut *current else { return };
        if let Some(bar) = &step.bar {
            bar.set_position(bytes);
        } else if step.told.elapsed() >= SILENCE {
            step.told = Instant::now();
            let what = &step.what;
            tell(&match step.total.filter(|total| *total > 0) {
                Some(total) => format!("{what}: {} %", bytes.saturating_mul(100) / total),
                None => format!("{what}: {}", size(bytes)),
            });
        }
    }

    fn note(&self, text: &str) {
        let current = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        match current.as_ref().and_then(|step| step.bar.as_ref()) {
            Some(bar) => bar.suspend(|| tell(text)),
            None => tell(text),
        }
    }
}

fn bar(what: &str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (
            ProgressBar::new(total),
            "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}",
        ),
        None => (ProgressBar::no_length(), "{msg} {spinner} {elapsed}"),
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn tell(text: &str) {
    // A download goes on when nobody listens.
    let _ = writeln!(io::stderr().lock(), "{text}");
}
