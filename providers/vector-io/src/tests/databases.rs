//! The real databases, where `CHASKI_TEST_DATABASES` names the Python environment that has them.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::net::TcpStream;

/// The folder of the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment where databases are"
)]
fn folder() -> Option<PathBuf> {
    std::env::var_os("CHASKI_TEST_DATABASES").map(PathBuf::from)
}

/// How long a database may take to start. Some are large programs, and the machine may be busy.
const START: Duration = Duration::from_mins(3);

/// A database server with its data in a folder of its own. It ends when it is dropped.
pub(super) struct Database {
    child: Child,
    pub(super) port: u16,
    _data: tempfile::TempDir,
}

impl Drop for Database {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Database {
    /// Starts the program that `command` makes of a port and a folder for data, and waits until
    /// it answers.
    async fn start(command: impl FnOnce(u16, &Path) -> Command) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let mut command = command(port, data.path());
        let command = command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        let child = command.spawn().expect("the database starts");
        let mut database = Self { child, port, _data: data };
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                let left = database.child.try_wait().expect("it can be asked");
                assert!(left.is_none(), "the database has left: {left:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(START, listens).await.expect("the database to listen");
        database
    }
}

/// Chroma's own server.
pub(super) async fn chroma() -> Option<Database> {
    let program = folder()?.join("bin").join("chroma");
    let database = Database::start(|port, data| {
        let mut command = Command::new(program);
        command.arg("run").arg("--path").arg(data).arg("--port").arg(port.to_string());
        command
    });
    Some(database.await)
}
