//! The steps, in the order in which they are possible.

use super::{DRIVER, Policy, files, identity, system_calls};
use chaski_api::{Error, Result};
use rustix::{
    fs::Mode,
    process::{Pid, Resource, Rlimit, Signal, setrlimit},
};
use std::{
    convert::Infallible, ffi::OsStr, fs, io, os::fd::RawFd, os::unix::process::CommandExt,
    process::Command,
};

/// The variables of the environment of the code, besides those for its folders: one thread for the
/// libraries of linear algebra, because their pools would use up the address space.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("LANG", "C.UTF-8"),
    ("PATH", "/usr/bin:/bin"),
    ("MPLBACKEND", "module://chaski_figures"),
    ("OPENBLAS_NUM_THREADS", "1"),
    ("OMP_NUM_THREADS", "1"),
    ("MKL_NUM_THREADS", "1"),
    ("NUMEXPR_NUM_THREADS", "1"),
];

/// How much less the processor is given to the code than to the server.
const NICE: i32 = 5;

/// An error of a step, with what the step is for.
pub(super) fn failed<E: std::error::Error + Send + Sync + 'static>(
    what: &'static str,
) -> impl Fn(E) -> Error {
    move |error| Error::unavailable(format!("{what}: {error}"))
}

pub(super) fn become_python(policy: &Policy) -> Result<Infallible> {
    close_inherited().map_err(failed("inherited files cannot be closed"))?;
    // Neither is needed for safety: a terminal and a turn on the processor.
    let _ = rustix::process::setsid();
    let _ = rustix::process::nice(NICE);
    let threads = identity::become_nobody(policy)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(failed("the process cannot be tied to the server"))?;
    let parent = rustix::process::getppid().map(Pid::as_raw_nonzero);
    let is_parent = |pid: std::num::NonZeroI32| u32::try_from(pid.get()) == Ok(policy.parent);
    if !parent.is_some_and(is_parent) {
        return Err(Error::unavailable("the server that started this process has ended"));
    }
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let filters = system_calls::filters(threads.is_some())?;
    files::restrict(policy)?;
    for (resource, most) in [
        (Resource::As, policy.memory_bytes),
        (Resource::Nproc, threads.unwrap_or(1)),
        (Resource::Nofile, policy.open_files),
        (Resource::Fsize, policy.file_bytes),
        (Resource::Core, 0),
        (Resource::Memlock, 0),
        (Resource::Msgqueue, 0),
    ] {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit).map_err(failed("a limit of resources cannot be set"))?;
    }
    // The first limit is a signal with a name; the second is for those who ignore it.
    let limit = Rlimit { current: Some(policy.cpu_seconds), maximum: Some(policy.cpu_seconds + 1) };
    setrlimit(Resource::Cpu, limit).map_err(failed("processor time cannot be limited"))?;
    let mut python = Command::new(&policy.program);
    let folders: [(&str, &OsStr); 3] = [
        ("HOME", policy.work.as_ref()),
        ("TMPDIR", policy.temporary.as_ref()),
        ("MPLCONFIGDIR", policy.temporary.as_ref()),
    ];
    python
        .env_clear()
        .envs(ENVIRONMENT.iter().copied())
        .envs(folders)
        .args(["-I", "-B", "-X", "utf8", "-c", DRIVER]);
    filters.apply()?;
    let error = python.exec();
    Err(Error::unavailable(format!(
        "`{}` cannot be run by the user and with the files that are left: {error}",
        policy.program.display()
    )))
}

/// Closes all files but the standard streams.
fn close_inherited() -> io::Result<()> {
    let open: Vec<RawFd> = fs::read_dir("/proc/self/fd")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in open {
        // The one that listed them is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}
