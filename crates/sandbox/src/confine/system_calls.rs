//! Which system calls the process may make: seccomp.
//!
//! What is not named is refused with `EPERM`: sockets other than pairs of its own, processes,
//! signals to others, tracing, mounts, namespaces, keys, BPF, `io_uring`, performance counters,
//! modules, memory files, and all that is yet to come.

use chaski_api::{Error, Result};
use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};
use std::collections::BTreeMap;

/// Calls that may be made with any arguments.
#[rustfmt::skip]
const FREE: &[c_long] = &[
    // Files that are open, and pipes.
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64,
    libc::SYS_pwrite64, libc::SYS_preadv, libc::SYS_pwritev, libc::SYS_preadv2, libc::SYS_pwritev2,
    libc::SYS_close, libc::SYS_close_range, libc::SYS_lseek, libc::SYS_dup, libc::SYS_dup3,
    libc::SYS_fsync, libc::SYS_fdatasync, libc::SYS_ftruncate, libc::SYS_fallocate,
    libc::SYS_flock, libc::SYS_fadvise64, libc::SYS_readahead, libc::SYS_sendfile,
    libc::SYS_copy_file_range, libc::SYS_pipe2, libc::SYS_sync_file_range,
    // Names. Landlock decides on them.
    libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_statfs, libc::SYS_fstatfs,
    libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_getdents64, libc::SYS_getcwd,
    libc::SYS_chdir, libc::SYS_fchdir, libc::SYS_renameat2, libc::SYS_mkdirat, libc::SYS_unlinkat,
    libc::SYS_linkat, libc::SYS_symlinkat, libc::SYS_readlinkat, libc::SYS_umask, libc::SYS_mknodat,
    // Memory.
    libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mprotect, libc::SYS_mremap,
    libc::SYS_madvise, libc::SYS_msync, libc::SYS_mincore, libc::SYS_get_mempolicy,
    // Waiting.
    libc::SYS_ppoll, libc::SYS_pselect6, libc::SYS_epoll_create1, libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_eventfd2, libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime, libc::SYS_timerfd_gettime, libc::SYS_futex, libc::SYS_futex_waitv,
    libc::SYS_nanosleep, libc::SYS_clock_nanosleep, libc::SYS_sched_yield, libc::SYS_wait4,
    libc::SYS_waitid, libc::SYS_restart_syscall, libc::SYS_membarrier, libc::SYS_rseq,
    libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_set_tid_address,
    // Signals to itself, and timers.
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending, libc::SYS_rt_sigsuspend, libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack, libc::SYS_signalfd4, libc::SYS_setitimer, libc::SYS_getitimer,
    // What it is, and what time it is.
    libc::SYS_getpid, libc::SYS_getppid, libc::SYS_gettid, libc::SYS_getpgid, libc::SYS_getsid,
    libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid, libc::SYS_getresuid,
    libc::SYS_getresgid, libc::SYS_getgroups, libc::SYS_getrusage, libc::SYS_getrlimit,
    libc::SYS_getpriority, libc::SYS_sched_getaffinity, libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler, libc::SYS_sched_get_priority_max, libc::SYS_getcpu,
    libc::SYS_sched_get_priority_min, libc::SYS_sysinfo, libc::SYS_uname, libc::SYS_times,
    libc::SYS_gettimeofday, libc::SYS_clock_gettime, libc::SYS_clock_getres, libc::SYS_getrandom,
    // To become Python, and to end.
    libc::SYS_execve, libc::SYS_exit, libc::SYS_exit_group,
    // Pairs of sockets, which lead nowhere else.
    libc::SYS_recvfrom, libc::SYS_getsockopt, libc::SYS_getsockname, libc::SYS_getpeername,
    libc::SYS_shutdown,
];

/// Calls that only older architectures have.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const FREE_HERE: &[c_long] = &[
    libc::SYS_stat, libc::SYS_lstat, libc::SYS_access, libc::SYS_readlink, libc::SYS_mkdir,
    libc::SYS_rmdir, libc::SYS_unlink, libc::SYS_rename, libc::SYS_renameat, libc::SYS_link,
    libc::SYS_symlink, libc::SYS_dup2, libc::SYS_pipe, libc::SYS_poll, libc::SYS_select,
    libc::SYS_epoll_create, libc::SYS_epoll_wait, libc::SYS_eventfd, libc::SYS_alarm,
    libc::SYS_pause, libc::SYS_time, libc::SYS_getpgrp, libc::SYS_arch_prctl, libc::SYS_getdents,
    libc::SYS_creat, libc::SYS_mknod,
];
#[cfg(not(target_arch = "x86_64"))]
const FREE_HERE: &[c_long] = &[libc::SYS_renameat];

/// Calls that succeed without doing anything, because Landlock does not decide on them: modes,
/// owners and times of files. Programs that unpack archives make them in passing.
#[rustfmt::skip]
const PRETENDED: &[c_long] = &[
    libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchown, libc::SYS_fchownat,
    libc::SYS_utimensat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utime,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_utimes,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_futimesat,
];

/// Calls that are said not to exist, so that libraries use older ones whose arguments can be seen.
const ABSENT: &[c_long] = &[libc::SYS_clone3, libc::SYS_openat2];

/// Ways to make a namespace with a thread.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP;

/// What an open file may be asked by `fcntl`: nothing that sends signals or grows pipes.
const FILE_COMMANDS: &[libc::c_int] = &[
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GETLK,
    libc::F_SETLK,
    libc::F_SETLKW,
    libc::F_OFD_GETLK,
    libc::F_OFD_SETLK,
    libc::F_OFD_SETLKW,
];

/// What an open file may be asked by `ioctl`: whether it is a terminal and of which size, what is
/// waiting, and how it behaves. `TCGETS`, `TIOCGWINSZ`, `FIONREAD`, `FIONBIO`, `FIONCLEX`, `FIOCLEX`,
/// whose numbers are the same wherever there are rules.
const DEVICE_COMMANDS: &[u64] = &[0x5401, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451];

/// What a thread may say about itself: its name.
const THREAD_COMMANDS: &[libc::c_int] = &[libc::PR_SET_NAME, libc::PR_GET_NAME];

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Programs for the kernel.
pub(super) struct Filters(Vec<BpfProgram>);

impl Filters {
    /// Binds this process, and all that comes after it.
    pub(super) fn apply(&self) -> Result<()> {
        self.0.iter().try_for_each(|program| {
            apply_filter(program).map_err(|error| {
                Error::unavailable(format!(
                    "this kernel does not take a list of system calls ({error}), without which \
                     code is not run; use one with `CONFIG_SECCOMP_FILTER`"
                ))
            })
        })
    }
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("the list of system calls is wrong").caused_by(error)
}

/// A condition on the lower 32 bits of an argument, which is all that the kernel looks at.
fn word(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).map_err(refused)
}

fn bits(argument: u8, mask: libc::c_int, value: libc::c_int) -> Result<SeccompCondition> {
    word(argument, SeccompCmpOp::MaskedEq(unsigned(mask)), unsigned(value))
}

/// The bits of a number of C.
fn unsigned(value: libc::c_int) -> u64 {
    u64::from(value.cast_unsigned())
}

/// A rule for each value of an argument.
fn one_of(argument: u8, values: impl Iterator<Item = u64>) -> Result<Vec<SeccompRule>> {
    values.map(|value| all(vec![word(argument, SeccompCmpOp::Eq, value)?])).collect()
}

fn all(conditions: Vec<SeccompCondition>) -> Result<SeccompRule> {
    SeccompRule::new(conditions).map_err(refused)
}

/// An argument that is a null pointer.
fn null(argument: u8) -> Result<SeccompCondition> {
    let operator = SeccompCmpOp::Eq;
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, 0).map_err(refused)
}

/// Files that are opened without being written may not be emptied: older versions of Landlock do
/// not look at that. `flags` is the number of the argument.
fn opening(flags: u8) -> Result<Vec<SeccompRule>> {
    Ok(vec![
        all(vec![bits(flags, libc::O_TRUNC, 0)?])?,
        all(vec![bits(flags, libc::O_ACCMODE, libc::O_WRONLY)?])?,
        all(vec![bits(flags, libc::O_ACCMODE, libc::O_RDWR)?])?,
    ])
}

/// The calls that depend on their arguments.
fn conditional(threads: bool) -> Result<Rules> {
    let own = u64::from(std::process::id());
    let to_itself = |argument| one_of(argument, [own].into_iter());
    let stream = bits(1, 0xf, libc::SOCK_STREAM)?;
    let mut rules = Rules::from([
        (libc::SYS_openat, opening(2)?),
        (libc::SYS_fcntl, one_of(1, FILE_COMMANDS.iter().map(|command| unsigned(*command)))?),
        (libc::SYS_ioctl, one_of(1, DEVICE_COMMANDS.iter().copied())?),
        (libc::SYS_prctl, one_of(0, THREAD_COMMANDS.iter().map(|command| unsigned(*command)))?),
        (libc::SYS_kill, to_itself(0)?),
        (libc::SYS_tgkill, to_itself(0)?),
        // Limits are read, not changed.
        (libc::SYS_prlimit64, vec![all(vec![word(0, SeccompCmpOp::Eq, 0)?, null(2)?])?]),
        // A datagram socket could be sent from to any other; a stream is connected for good.
        (
            libc::SYS_socketpair,
            vec![all(vec![word(0, SeccompCmpOp::Eq, unsigned(libc::AF_UNIX))?, stream])?],
        ),
        (libc::SYS_sendto, vec![all(vec![null(4)?])?]),
    ]);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, opening(1)?);
    if threads {
        let wanted = libc::CLONE_THREAD;
        rules.insert(libc::SYS_clone, vec![all(vec![bits(0, wanted | NAMESPACES, wanted)?])?]);
    }
    Ok(rules)
}

fn free(calls: &[c_long]) -> impl Iterator<Item = (c_long, Vec<SeccompRule>)> {
    calls.iter().map(|call| (*call, Vec::new()))
}

fn program(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Result<BpfProgram> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(|_| {
        Error::unsupported(format!(
            "code cannot be confined on `{}`: its system calls are not known",
            std::env::consts::ARCH
        ))
    })?;
    let filter = SeccompFilter::new(rules, otherwise, matched, architecture).map_err(refused)?;
    BpfProgram::try_from(filter).map_err(refused)
}

fn code(error: libc::c_int) -> SeccompAction {
    SeccompAction::Errno(error.cast_unsigned())
}

/// The lists, to be applied in this order. `threads`: whether there may be more than one.
pub(super) fn filters(threads: bool) -> Result<Filters> {
    let mut allowed = conditional(threads)?;
    for calls in [FREE, FREE_HERE, PRETENDED, ABSENT] {
        allowed.extend(free(calls));
    }
    Ok(Filters(vec![
        program(free(PRETENDED).collect(), SeccompAction::Allow, code(0))?,
        program(free(ABSENT).collect(), SeccompAction::Allow, code(libc::ENOSYS))?,
        // The last one, because it does not allow to apply others.
        program(allowed, code(libc::EPERM), SeccompAction::Allow)?,
    ]))
}
