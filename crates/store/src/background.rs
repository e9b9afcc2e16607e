//! Threads for whose work nobody waits.

/// How far behind other threads they are: Linux gives them a third of their share of a core, and
/// lets the others interrupt them.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// Puts the calling thread behind those that requests wait for. Where the system knows only the
/// priority of a process, nothing is changed.
pub fn in_background() {
    #[cfg(target_os = "linux")]
    {
        // Without the right to do so, everything works all the same.
        _ = rustix::process::setpriority_process(None, NICE);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;
    use std::thread;

    #[test]
    fn only_the_calling_thread_goes_behind_the_others() {
        let before = getpriority_process(None).unwrap();
        let thread = thread::spawn(|| {
            in_background();
            getpriority_process(None).unwrap()
        });
        assert_eq!(thread.join().unwrap(), before.max(NICE));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
