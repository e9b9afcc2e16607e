//! Who the process is for the system.

use super::{Policy, linux::failed};
use chaski_api::{Error, Result};
use nix::sched::{CloneFlags, unshare};
use rustix::{
    fs::Access,
    io::Errno,
    process::{Gid, Uid},
    thread::{CapabilitySet, CapabilitySets},
};
use std::os::unix::fs::chown;

/// The first of the numbers of users that processes of root become, each another, and how many there
/// are. No user database goes so far as the first ones; the others are for containers, which may
/// have 65536 users.
const USERS: &[(u32, u32)] = &[(0x7000_0000, 1 << 22), (60000, 5000)];

/// The limit of threads where they are counted together with all others of the user.
const SHARED_THREADS: u64 = 1024;

/// Makes the process one that owns nothing. Gives the limit of its threads for the system, which
/// counts those of everybody but root; nothing if there is none, and so there may be no threads.
pub(super) fn become_nobody(policy: &Policy) -> Result<Option<u64>> {
    if !rustix::process::geteuid().is_root() {
        // With a namespace of its own for users it may have the others; and its threads are counted
        // apart from those of the server. Systems that do not allow it lose no protection that the
        // list of system calls does not give.
        let counted_apart = unshare(CloneFlags::CLONE_NEWUSER).is_ok();
        leave_namespaces();
        drop_capabilities(CapabilitySet::empty())?;
        let shared = policy.threads.max(SHARED_THREADS);
        return Ok(Some(if counted_apart { policy.threads } else { shared }));
    }
    leave_namespaces();
    let process = std::process::id();
    let mut users = USERS.iter().map(|(first, count)| first + process % count);
    let user = users.find(|user| give_away(policy, *user));
    let bounded = user.map_or(Ok(false), change_user)?;
    if !bounded {
        give_away(policy, 0);
    }
    let needed = if bounded && !can_reach(policy) {
        // Python is in a folder that only root can enter. What it may read there Landlock says.
        CapabilitySet::DAC_READ_SEARCH
    } else {
        CapabilitySet::empty()
    };
    drop_capabilities(needed)?;
    Ok(bounded.then_some(policy.threads))
}

/// Gives the folders to a user; `false` if this machine or container has no such user.
fn give_away(policy: &Policy, user: u32) -> bool {
    let folders = [&policy.work, &policy.temporary];
    folders.iter().all(|folder| chown(folder, Some(user), Some(user)).is_ok())
}

/// Leaves the namespaces of the network and of shared memory, where the system allows it.
fn leave_namespaces() {
    for namespace in [CloneFlags::CLONE_NEWNET, CloneFlags::CLONE_NEWIPC] {
        let _ = unshare(namespace);
    }
}

/// Becomes another user, with the capabilities still there. Without the right to do so the process
/// stays root of its container: `false`.
fn change_user(user: u32) -> Result<bool> {
    let what = "the user of the process cannot be changed";
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(user));
    rustix::thread::set_keep_capabilities(true).map_err(failed(what))?;
    let changed = rustix::thread::set_thread_groups(&[])
        .and_then(|()| rustix::thread::set_thread_res_gid(group, group, group))
        .and_then(|()| rustix::thread::set_thread_res_uid(user, user, user));
    match changed {
        Ok(()) => Ok(true),
        Err(Errno::PERM | Errno::INVAL) => Ok(false),
        Err(error) => Err(failed(what)(error)),
    }
}

/// Whether the process reaches its files without capabilities.
fn can_reach(policy: &Policy) -> bool {
    let folders = [&policy.work, &policy.temporary];
    let needed = policy.libraries.iter().map(|path| (path, Access::READ_OK));
    needed
        .chain([(&policy.file, Access::READ_OK | Access::EXEC_OK)])
        .chain(folders.map(|path| (path, Access::WRITE_OK | Access::EXEC_OK)))
        .all(|(path, access)| rustix::fs::access(path, access).is_ok())
}

/// Gives up all capabilities but these, also those that programs could get.
fn drop_capabilities(kept: CapabilitySet) -> Result<()> {
    let failed = |error: Errno| -> Error { failed("capabilities cannot be given up")(error) };
    rustix::thread::clear_ambient_capability_set().map_err(failed)?;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: kept };
    rustix::thread::set_capabilities(None, sets).map_err(failed)?;
    for capability in kept.iter() {
        rustix::thread::configure_capability_in_ambient_set(capability, true).map_err(failed)?;
    }
    Ok(())
}
