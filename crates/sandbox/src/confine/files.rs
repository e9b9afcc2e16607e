//! Which files the process may touch: Landlock.

use super::{Policy, linux::failed};
use chaski_api::{Error, Result};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use std::path::Path;

/// The rights that this crate knows. An older kernel has fewer; the list of system calls does not
/// rely on more than those of the first version.
const KNOWN: ABI = ABI::V6;

/// Shared libraries of the system, and the loader.
const LIBRARIES: &[&str] =
    &["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/nix/store"];

/// What Python and the loader look up.
const FACTS: &[&str] = &[
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
];

const NOTHING: &str = "/dev/null";

/// Leaves the process the files of its policy. From here on it can only lose rights.
pub(super) fn restrict(policy: &Policy) -> Result<()> {
    let failed = |error: RulesetError| -> Error { failed("Landlock refuses its rules")(error) };
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = writing();
    let libraries = policy.libraries.iter().map(AsRef::as_ref);
    let libraries = libraries.chain(LIBRARIES.iter().map(Path::new)).chain([&*policy.file]);
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(KNOWN)))
        .and_then(|rules| rules.scope(Scope::from_all(KNOWN)))
        .and_then(Ruleset::create)
        // Programs there inherit all that is taken from this process.
        .and_then(|rules| rules.add_rules(path_beneath_rules(libraries, read | AccessFs::Execute)))
        .and_then(|rules| rules.add_rules(path_beneath_rules(FACTS, read)))
        .and_then(|rules| {
            let nothing = AccessFs::ReadFile | AccessFs::WriteFile;
            rules.add_rules(path_beneath_rules([NOTHING], nothing))
        })
        .map_err(failed)?;
    let status = [&policy.work, &policy.temporary]
        .into_iter()
        .try_fold(status, |rules, folder| beneath(rules, folder, write))?
        .restrict_self()
        .map_err(failed)?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(Error::unavailable(
            "this kernel has no Landlock, without which code is not run; use Linux 5.13 or newer \
             with `landlock` among its security modules (`lsm=landlock,...` on the kernel's \
             command line), in a container whose seccomp profile allows it",
        ));
    }
    Ok(())
}

fn beneath(
    rules: RulesetCreated,
    folder: &Path,
    rights: BitFlags<AccessFs>,
) -> Result<RulesetCreated> {
    let file = PathFd::new(folder).map_err(failed("the working folder cannot be opened"))?;
    rules.add_rule(PathBeneath::new(file, rights)).map_err(failed("Landlock refuses the folder"))
}

/// What may be done in the working folder: everything with files and folders, nothing with links,
/// sockets, pipes and devices, and no programs.
fn writing() -> BitFlags<AccessFs> {
    AccessFs::from_all(KNOWN)
        & !(AccessFs::MakeSym
            | AccessFs::MakeSock
            | AccessFs::MakeFifo
            | AccessFs::MakeChar
            | AccessFs::MakeBlock
            | AccessFs::IoctlDev
            | AccessFs::Execute)
}
