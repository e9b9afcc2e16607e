//! System calls that code has no use for are refused, whatever asks for them.

use super::{outside, printed};
use libc::c_long;

/// Calls that open ways around what is taken from the process.
#[rustfmt::skip]
const DANGEROUS: &[(&str, c_long)] = &[
    ("io_uring_setup", libc::SYS_io_uring_setup), ("io_uring_enter", libc::SYS_io_uring_enter),
    ("keyctl", libc::SYS_keyctl), ("add_key", libc::SYS_add_key),
    ("request_key", libc::SYS_request_key), ("unshare", libc::SYS_unshare),
    ("setns", libc::SYS_setns), ("ptrace", libc::SYS_ptrace), ("bpf", libc::SYS_bpf),
    ("userfaultfd", libc::SYS_userfaultfd), ("perf_event_open", libc::SYS_perf_event_open),
    ("mount", libc::SYS_mount), ("umount2", libc::SYS_umount2), ("fsopen", libc::SYS_fsopen),
    ("open_tree", libc::SYS_open_tree), ("pivot_root", libc::SYS_pivot_root),
    ("chroot", libc::SYS_chroot), ("init_module", libc::SYS_init_module),
    ("finit_module", libc::SYS_finit_module), ("delete_module", libc::SYS_delete_module),
    ("kexec_load", libc::SYS_kexec_load), ("reboot", libc::SYS_reboot),
    ("swapon", libc::SYS_swapon), ("sethostname", libc::SYS_sethostname),
    ("settimeofday", libc::SYS_settimeofday), ("clock_settime", libc::SYS_clock_settime),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("process_vm_writev", libc::SYS_process_vm_writev), ("pidfd_open", libc::SYS_pidfd_open),
    ("pidfd_getfd", libc::SYS_pidfd_getfd), ("pidfd_send_signal", libc::SYS_pidfd_send_signal),
    ("process_madvise", libc::SYS_process_madvise), ("kcmp", libc::SYS_kcmp),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("name_to_handle_at", libc::SYS_name_to_handle_at), ("memfd_create", libc::SYS_memfd_create),
    ("memfd_secret", libc::SYS_memfd_secret), ("shmget", libc::SYS_shmget),
    ("shmat", libc::SYS_shmat), ("msgget", libc::SYS_msgget), ("semget", libc::SYS_semget),
    ("mq_open", libc::SYS_mq_open), ("socket", libc::SYS_socket), ("connect", libc::SYS_connect),
    ("bind", libc::SYS_bind), ("sendmsg", libc::SYS_sendmsg), ("sendmmsg", libc::SYS_sendmmsg),
    ("accept4", libc::SYS_accept4), ("setuid", libc::SYS_setuid), ("setgid", libc::SYS_setgid),
    ("setresuid", libc::SYS_setresuid), ("setgroups", libc::SYS_setgroups),
    ("capset", libc::SYS_capset), ("setsid", libc::SYS_setsid), ("setpgid", libc::SYS_setpgid),
    ("setpriority", libc::SYS_setpriority), ("sched_setaffinity", libc::SYS_sched_setaffinity),
    ("personality", libc::SYS_personality), ("seccomp", libc::SYS_seccomp),
    ("landlock_create_ruleset", libc::SYS_landlock_create_ruleset), ("truncate", libc::SYS_truncate),
    ("setxattr", libc::SYS_setxattr), ("fsetxattr", libc::SYS_fsetxattr),
    ("quotactl", libc::SYS_quotactl), ("acct", libc::SYS_acct), ("syslog", libc::SYS_syslog),
    ("inotify_init1", libc::SYS_inotify_init1), ("fanotify_init", libc::SYS_fanotify_init),
    ("splice", libc::SYS_splice), ("vmsplice", libc::SYS_vmsplice), ("tee", libc::SYS_tee),
    ("mlock", libc::SYS_mlock), ("mlockall", libc::SYS_mlockall), ("execveat", libc::SYS_execveat),
    ("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo), ("tkill", libc::SYS_tkill),
    ("move_pages", libc::SYS_move_pages), ("lookup_dcookie", libc::SYS_lookup_dcookie),
];

/// A program that makes calls with arguments that do nothing, and prints those that are not
/// refused with `EPERM`.
fn trying(calls: &[(&str, c_long)]) -> String {
    format!(
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nfor name, number in {calls:?}:\n  \
         done = libc.syscall(number, -1, 0, 0, 0, 0, 0)\n  \
         if done != -1 or ctypes.get_errno() != 1: print(name)\n"
    )
    .replace("[(", "((")
    .replace(")]", "),)")
}

#[test]
fn dangerous_calls_are_refused() {
    assert_eq!(printed(&trying(DANGEROUS)), "");
    let harmless = [("getpid", libc::SYS_getpid)];
    assert_eq!(printed(&trying(&harmless)), "getpid\n");
    // Outside most of them are answered in another way.
    let some = [("memfd_create", libc::SYS_memfd_create), ("socket", libc::SYS_socket)];
    assert_eq!(outside(&trying(&some)), "memfd_create\nsocket\n");
}

#[test]
fn processes_and_namespaces_are_not_made_by_hand() {
    let flags = [
        libc::SIGCHLD,
        libc::CLONE_VM | libc::SIGCHLD,
        libc::CLONE_NEWUSER | libc::SIGCHLD,
        libc::CLONE_THREAD | libc::CLONE_SIGHAND | libc::CLONE_VM | libc::CLONE_NEWNET,
    ];
    let code = format!(
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nfor flags in {flags:?}:\n  \
         print(libc.syscall({}, flags, 0, 0, 0, 0), ctypes.get_errno())\n\
         print(libc.syscall({}, 0, 0), ctypes.get_errno())",
        libc::SYS_clone,
        libc::SYS_clone3,
    );
    assert_eq!(printed(&code), "-1 1\n-1 1\n-1 1\n-1 1\n-1 38\n");
}

#[test]
fn privileges_are_gone() {
    let code = "import ctypes\nlibc = ctypes.CDLL(None)\nprint(libc.getuid() != 0)\n\
                print(libc.prctl(39, 0, 0, 0, 0))";
    // Asking whether it may gain privileges is refused as well.
    assert_eq!(printed(code), "True\n-1\n");
    let limits = "import resource\nprint(resource.getrlimit(resource.RLIMIT_CORE))\ntry:\n  \
                  resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))\nexcept (OSError, ValueError):\n  \
                  print('refused')";
    assert_eq!(printed(limits), "(0, 0)\nrefused\n");
}
