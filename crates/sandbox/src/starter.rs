//! The thread that starts processes.

use std::{
    io,
    process::{Child, Command},
    sync::mpsc::{self, Sender},
    thread,
};

type Order = (Command, Sender<io::Result<Child>>);

/// Starts processes on a thread that lives as long as this value. The processes ask the system to
/// be killed when the thread that started them ends, which for a thread of a pool would be at any
/// time; so they end with this value, and with the server however it ends.
pub(crate) struct Starter(Sender<Order>);

impl Starter {
    pub(crate) fn new() -> io::Result<Self> {
        let (orders, received) = mpsc::channel::<Order>();
        thread::Builder::new().name("python-starter".to_owned()).spawn(move || {
            for (mut command, reply) in received {
                if let Err(mpsc::SendError(Ok(mut child))) = reply.send(command.spawn()) {
                    // Nobody waits for it any more.
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        })?;
        Ok(Self(orders))
    }

    pub(crate) fn start(&self, command: Command) -> io::Result<Child> {
        let (reply, received) = mpsc::channel();
        let ended = |_| io::Error::other("the thread that starts processes has ended");
        self.0.send((command, reply)).map_err(|_| io::Error::other("cannot start processes"))?;
        received.recv().map_err(ended)?
    }
}
