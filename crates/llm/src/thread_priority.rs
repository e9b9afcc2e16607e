//! The priority of threads that compute.

/// How far behind other threads one that computes is: Linux gives it a third of their share of a
/// core, and lets them interrupt it.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// Puts the calling thread, and threads that it starts, behind those of the network, so that
/// computing does not hold up answers. Where the system knows only the priority of a process,
/// nothing is changed.
pub(crate) fn below_network() {
    #[cfg(target_os = "linux")]
    {
        // Without the right to do so, the server works all the same.
        _ = rustix::process::setpriority_process(None, NICE);
    }
}
