//! The side of the worker: files in, documents out, within the limits of the process.

use super::frames::{self, Kind};
use crate::{Document, Hints, Limits, Numbering, document::Block, format::Format};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, BufReader, BufWriter, Read, Write},
    sync::Once,
};

/// What the worker is told of a file.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) hints: Hints,
    pub(super) limits: Limits,
    /// Bytes that follow.
    pub(super) bytes: u64,
}

/// A document without its text.
#[derive(Serialize, Deserialize)]
pub(super) struct Structure {
    format: Format,
    title: Option<String>,
    numbering: Option<Numbering>,
    blocks: Vec<Block>,
}

impl Structure {
    pub(super) fn with_text(self, text: String) -> Document {
        let Self { format, title, numbering, blocks } = self;
        Document { format, title, numbering, text, blocks }
    }
}

/// Reads files from the input and writes their documents to the output, until the input ends.
///
/// On the first file the process gives itself limits, which it cannot take back: use this in a
/// process of its own, started by [`super::Pool`], with nothing else on the two streams.
///
/// # Errors
/// When a stream breaks or holds something else. Errors of files are answers.
pub fn serve(input: impl Read, output: impl Write) -> io::Result<()> {
    static LIMITED: Once = Once::new();
    let (mut input, mut output) = (BufReader::new(input), BufWriter::new(output));
    while let Some((kind, bytes)) = frames::read(&mut input)? {
        if kind != Kind::Job {
            return Err(io::Error::other("a file without its limits"));
        }
        let job: Job = serde_json::from_slice(&bytes)?;
        LIMITED.call_once(|| limit_process(&job.limits));
        limit_time(&job.limits);
        let file = receive(&mut input, &job)?;
        answer(&mut output, crate::parse(&file, &job.hints, &job.limits))?;
        output.flush()?;
    }
    Ok(())
}

/// The bytes of a file.
fn receive(input: &mut impl Read, job: &Job) -> io::Result<Vec<u8>> {
    let expected = job.bytes.min(job.limits.input_bytes.saturating_add(1));
    let mut file = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    loop {
        match frames::read(input)? {
            Some((Kind::Data, bytes)) => file.extend(bytes),
            Some((Kind::Go, _)) => return Ok(file),
            _ => return Err(io::Error::other("a file that breaks off")),
        }
    }
}

fn answer(output: &mut impl Write, outcome: crate::Result<Document>) -> io::Result<()> {
    match outcome {
        Ok(document) => {
            let Document { format, title, numbering, text, blocks } = document;
            frames::write(output, Kind::Text, text.as_bytes())?;
            let structure = Structure { format, title, numbering, blocks };
            frames::write(output, Kind::Structure, &serde_json::to_vec(&structure)?)?;
            frames::write(output, Kind::Done, &[])
        }
        Err(error) => frames::write(output, Kind::Failed, &serde_json::to_vec(&error)?),
    }
}

/// How far the process steps back behind others.
#[cfg(unix)]
const NICENESS: i32 = 10;

/// Bytes of address space beside those that are used: programs reserve more than they use.
#[cfg(unix)]
const RESERVED_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Limits for the life of the process. A limit that the system does not know is left out: the
/// parser counts, and the other process watches the time.
#[cfg(unix)]
fn limit_process(limits: &Limits) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let memory = limits.memory_bytes;
    for (resource, most) in [
        (Resource::Data, memory),
        (Resource::As, memory.saturating_add(RESERVED_BYTES)),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ] {
        let _ = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    }
    // Whoever serves requests goes first.
    let _ = rustix::process::nice(NICENESS);
}

/// The processor time of the next file, twice that of the clock, because parsers may use threads.
#[cfg(unix)]
fn limit_time(limits: &Limits) {
    use rustix::{
        process::{Resource, getrlimit, setrlimit},
        time::{ClockId, clock_gettime},
    };
    let used = u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec).unwrap_or(0);
    let mut limit = getrlimit(Resource::Cpu);
    let wanted = used.saturating_add(limits.time.as_secs().saturating_mul(2)).saturating_add(2);
    limit.current = Some(limit.maximum.map_or(wanted, |most| wanted.min(most)));
    let _ = setrlimit(Resource::Cpu, limit);
}

#[cfg(not(unix))]
fn limit_process(_: &Limits) {}

#[cfg(not(unix))]
fn limit_time(_: &Limits) {}
