//! Writes lines in a thread of its own, so that nobody waits for a terminal, a pipe or a disk.

use std::{
    fs::File,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

/// So many lines wait for the writer; more are dropped and counted.
const WAITING: usize = 8192;

/// How long the end of the process waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// One line in its forms.
pub(crate) struct Written {
    pub(crate) shown: String,
    /// For the file, where it differs from what is shown.
    pub(crate) plain: Option<String>,
}

enum Message {
    Line(Written),
    Flush(SyncSender<()>),
}

/// Where lines are handed in.
#[derive(Clone)]
pub(crate) struct Lines {
    sender: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    has_file: bool,
}

impl Lines {
    pub(crate) fn send(&self, line: Written) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(Message::Line(line)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn has_file(&self) -> bool {
        self.has_file
    }
}

/// Writes what is left when it is dropped.
#[must_use = "lines are lost when the process ends without it"]
pub struct LogGuard(SyncSender<Message>);

impl LogGuard {
    /// Waits until every line handed in so far is written, at most two seconds.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        // A writer that is gone, or stuck behind a full queue, cannot be waited for.
        if self.0.try_send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(LAST_LINES);
        }
    }
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Starts the writer. `notice` makes the line that tells how many were dropped.
pub(crate) fn start(
    out: Box<dyn Write + Send>,
    file: Option<File>,
    notice: fn(u64) -> String,
) -> io::Result<(Lines, LogGuard)> {
    let (sender, receiver) = sync_channel(WAITING);
    let dropped = Arc::new(AtomicU64::new(0));
    let lines =
        Lines { sender: sender.clone(), dropped: Arc::clone(&dropped), has_file: file.is_some() };
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_all(&receiver, out, file, &dropped, notice))?;
    Ok((lines, LogGuard(sender)))
}

fn write_all(
    receiver: &Receiver<Message>,
    mut out: Box<dyn Write + Send>,
    mut file: Option<File>,
    dropped: &AtomicU64,
    notice: fn(u64) -> String,
) {
    // A log that cannot be written must not stop the service, so write errors have no effect.
    for message in receiver {
        match message {
            Message::Line(line) => {
                let _ = out.write_all(line.shown.as_bytes());
                if let Some(file) = &mut file {
                    let _ = file.write_all(line.plain.as_ref().unwrap_or(&line.shown).as_bytes());
                }
            }
            Message::Flush(done) => {
                let _ = out.flush();
                let _ = done.send(());
            }
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ = out.write_all(notice(lost).as_bytes());
        }
    }
}
