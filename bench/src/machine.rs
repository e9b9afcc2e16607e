//! The machine as it is: numbers without it say nothing.

use serde::Serialize;
use std::fs;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct State {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) memory_gigabytes: u64,
    pub(crate) kernel: String,
    /// Running processes on average over the last minute, five and fifteen.
    pub(crate) load: String,
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).max(online())
}

/// The cores of the machine, even where this process may use fewer.
fn online() -> usize {
    read("/proc/cpuinfo").lines().filter(|line| line.starts_with("processor")).count()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What follows `name` and a colon in a file of `/proc`.
fn value(text: &str, name: &str) -> String {
    text.lines()
        .find(|line| line.starts_with(name))
        .and_then(|line| line.split_once(':'))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

/// Keeps this process to the first core, where the tool for it is there and there is another.
pub(crate) fn pin_to_first_core() {
    if cores() > 1 {
        let me = std::process::id().to_string();
        let _without = std::process::Command::new("taskset").args(["-pc", "0", &me]).output();
    }
}

impl State {
    pub(crate) fn now() -> Self {
        let memory = value(&read("/proc/meminfo"), "MemTotal");
        let kilobytes: u64 =
            memory.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0);
        Self {
            cores: cores(),
            processor: value(&read("/proc/cpuinfo"), "model name"),
            memory_gigabytes: kilobytes / (1 << 20),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>().join(" "),
        }
    }
}
