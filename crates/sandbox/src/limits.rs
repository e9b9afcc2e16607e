//! What code may use.

use std::time::Duration;

/// What the code of one process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The wall-clock time of one call.
    pub time: Duration,
    /// Bytes of address space; Python raises `MemoryError` beyond them.
    pub memory_bytes: u64,
    /// Seconds of processor time of all calls of a process together.
    pub cpu_seconds: u64,
    /// Threads at one time.
    pub threads: u64,
    /// Open files at one time.
    pub open_files: u64,
    /// Bytes of one file, which includes what is printed.
    pub file_bytes: u64,
    /// Bytes of all files together.
    pub folder_bytes: u64,
    /// Files and folders.
    pub folder_entries: usize,
    /// Bytes of each output stream that are returned; the middle of longer ones is left out.
    pub output_bytes: usize,
}

const MIB: u64 = 1024 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(20),
            memory_bytes: 1024 * MIB,
            cpu_seconds: 600,
            threads: 64,
            open_files: 128,
            file_bytes: 32 * MIB,
            folder_bytes: 128 * MIB,
            folder_entries: 4096,
            output_bytes: 64 * 1024,
        }
    }
}
