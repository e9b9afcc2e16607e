//! How much memory a new model may take.

use std::{fs, path::Path};

/// The memory that is free for this process, in bytes, where the system tells it.
///
/// On Linux the smaller one of what the machine has left and what the control group of the process
/// has left. Elsewhere unknown.
pub fn available_memory() -> Option<u64> {
    let machine = machine(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let group = group(Path::new("/sys/fs/cgroup")).unwrap_or(u64::MAX);
    Some(machine.min(group))
}

fn machine(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn group(folder: &Path) -> Option<u64> {
    let number = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok();
    let (limit, used): (u64, u64) = (number("memory.max")?, number("memory.current")?);
    // Files that are cached but not in use count as used, and are given up when needed.
    let cached = fs::read_to_string(folder.join("memory.stat")).ok().and_then(|text| {
        text.lines().find_map(|line| line.strip_prefix("inactive_file "))?.trim().parse().ok()
    });
    Some(limit.saturating_sub(used.saturating_sub(cached.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_system_is_read_in_bytes() {
        let text = "MemTotal:  100 kB\nMemFree: 2 kB\nMemAvailable:     50 kB\n";
        assert_eq!(machine(text), Some(51_200));
    }
}
