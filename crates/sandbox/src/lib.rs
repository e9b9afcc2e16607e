//! Python code of strangers, run in a process of its own that can compute and do nothing else.
//!
//! An [`Interpreter`] starts the [`Launcher`], which is a command that hands its last argument to
//! [`run_confined`]. That function takes everything from its own process that the code is not to
//! have, and then becomes Python:
//!
//! - **Files**: Landlock leaves the libraries of Python and the system to read, and a folder of
//!   its own to write.
//! - **Network and processes**: a list of system calls (seccomp) has those that computing needs.
//!   There are no sockets, no processes, no signals to others, no tracing and no other namespaces.
//! - **Resources**: limits of memory, processor time, threads, open files and sizes of files. The
//!   caller watches the clock and the folder.
//! - **Identity**: a user that nobody else is where the server is root; user, network and IPC
//!   namespaces where the system gives them. The environment is empty.
//!
//! Landlock and seccomp are required: without them nothing is run. They need no privileges, no
//! container and no setting of the machine.

mod confine;
mod folder;
mod interpreter;
mod launcher;
mod limits;
mod output;
mod private;
mod process;
mod python;
mod starter;

pub use confine::run_confined;
pub use folder::RETURNED_BYTES;
pub use interpreter::{Interpreter, InterpreterOptions};
pub use launcher::{Launcher, RUN_CONFINED};
pub use limits::Limits;
pub use output::{Captured, Outcome, ProducedFile, Status};
pub use process::{CODE_BYTES, Job};
pub use python::Python;
