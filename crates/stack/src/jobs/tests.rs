use super::{Failure, Job, JobState, Jobs, Pace, TABLES, Task, Work, milliseconds};
use async_trait::async_trait;
use chaski_api::Result;
use chaski_store::{
    Batch, Cell, Column, Condition, Database, Owner, Record, Schema, Scope, SqliteRows, Table,
};
use chaski_testkit::{PATIENCE, eventually_some};
use serde::{Deserialize, Serialize};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

static DEEDS: Table =
    Table { name: "deeds", since: 1, columns: &[Column::text("deed", 1)], indexes: &[] };
static TABLES_OF_TEST: std::sync::LazyLock<Vec<&'static Table>> =
    std::sync::LazyLock::new(|| TABLES.iter().copied().chain([&DEEDS]).collect());

/// What a job did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Deed {
    id: String,
    deed: String,
}

impl Record for Deed {
    const TABLE: &'static Table = &DEEDS;
    fn id(&self) -> &str {
        &self.id
    }
    fn cells(&self) -> Vec<Cell> {
        vec![self.deed.as_str().into()]
    }
}

fn open(path: &Path) -> Database {
    let schema = Schema { version: 2, tables: TABLES_OF_TEST.as_slice() };
    Database::new(Arc::new(SqliteRows::open(path, &schema).unwrap()))
}

fn in_memory() -> Database {
    open(Path::new(":memory:"))
}

fn quick() -> Pace {
    Pace {
        lease: Duration::from_millis(300),
        look: Duration::from_millis(50),
        retry: Duration::from_millis(5),
        attempts: 3,
    }
}

/// Does what its input says, as often as it has permits, and notes that it did.
struct Obedient {
    begun: AtomicUsize,
    taken: AtomicUsize,
    gate: Semaphore,
}

impl Obedient {
    fn new(permits: usize) -> Arc<Self> {
        let (begun, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { begun, taken, gate: Semaphore::new(permits) })
    }
}

fn deed(task: &Task, word: &str) -> Batch {
    let deed = Deed { id: super::new_id("deed_"), deed: format!("{word} {}", task.job.id) };
    Batch::default().insert(&task.owner, &deed)
}

#[async_trait]
impl Work for Obedient {
    fn kind(&self) -> &'static str {
        "obey"
    }

    async fn run(&self, task: &Task) -> Result<Batch, Failure> {
        let begun = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.gate.acquire().await.unwrap().forget();
        task.progress(1, 2);
        match task.job.input.as_str().unwrap_or_default() {
            "panic" => panic!("as told"),
            "refuse" => Err(Failure::lasting("invalid_file", "as told")),
            "stumble" if begun == 1 => {
                Err(Failure { passing: true, ..Failure::lasting("server_error", "as told") })
            }
            "never" => Err(Failure { passing: true, ..Failure::lasting("server_error", "never") }),
            _ => Ok(deed(task, "did")),
        }
    }

    async fn failed(&self, task: &Task, _: &Failure) -> Result<Batch> {
        Ok(deed(task, "failed"))
    }

    async fn taken(&self, _: &Task) {
        self.taken.fetch_add(1, Ordering::SeqCst);
    }
}

fn me() -> Owner {
    Owner { tenant: "t".to_owned(), principal: "me".to_owned() }
}

async fn put(jobs: &Jobs, input: &str) -> String {
    let job = Jobs::prepare("obey", "group", &input);
    jobs.apply(Batch::default().insert(&me(), &job)).await.unwrap();
    job.id
}

/// Waits until so many deeds are done.
async fn reached(database: &Database, least: usize) {
    eventually_some(PATIENCE, "the deeds", async || {
        (deeds(database).await.len() >= least).then_some(())
    })
    .await;
}

async fn deeds(database: &Database) -> Vec<String> {
    let query = Database::query::<Deed>(Scope::Upkeep).limit(1000);
    let page = database.list(query).await.unwrap();
    page.records.into_iter().map(|held| held.record.deed).collect()
}

/// The job once it has ended.
async fn ended(database: &Database, id: &str) -> Job {
    chaski_testkit::within("the end of the job", async {
        loop {
            let job = database.get::<Job>(&me(), id).await.unwrap().unwrap().record;
            if job.ended.is_some() {
                return job;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_job_is_done_once_by_one_of_many_workers() {
    let database = in_memory();
    let work = Obedient::new(usize::MAX >> 3);
    let jobs = Jobs::new(database.clone(), quick());
    jobs.start(vec![work.clone()], 4);
    let mut expected = Vec::new();
    for _ in 0..50 {
        expected.push(put(&jobs, "").await);
    }
    for id in &expected {
        let job = ended(&database, id).await;
        assert_eq!((job.state, job.attempts, job.done, job.total), (JobState::Done, 1, 2, 2));
    }
    let mut done = deeds(&database).await;
    done.sort();
    let mut expected: Vec<String> = expected.iter().map(|id| format!("did {id}")).collect();
    expected.sort();
    assert_eq!(done, expected);
    jobs.forget_ended(milliseconds()).await.unwrap();
    let left = Database::query::<Job>(Scope::Upkeep);
    assert!(database.list(left).await.unwrap().records.is_empty());
    jobs.stop().await;
}

#[tokio::test]
async fn a_large_group_does_not_make_the_others_wait() {
    let database = in_memory();
    let jobs = Jobs::new(database.clone(), quick());
    let mut batch = Batch::default();
    let mut expected = Vec::new();
    for group in ["large", "large", "large", "small"] {
        let job = Jobs::prepare("obey", group, &"");
        expected.push(format!("did {}", job.id));
        batch = batch.insert(&me(), &job);
    }
    jobs.apply(batch).await.unwrap();
    jobs.start(vec![Obedient::new(100)], 1);
    reached(&database, expected.len()).await;
    let mut done = deeds(&database).await;
    // The newest comes first in the list.
    done.reverse();
    expected.swap(1, 3);
    expected[2..].sort();
    done[2..].sort();
    assert_eq!(done, expected);
    jobs.stop().await;
}

#[tokio::test]
async fn failures_are_told_and_passing_ones_tried_again() {
    let database = in_memory();
    let jobs = Jobs::new(database.clone(), quick());
    jobs.start(vec![Obedient::new(100)], 1);
    for (input, state, attempts, message) in [
        ("stumble", JobState::Done, 2, ""),
        ("refuse", JobState::Failed, 1, "as told"),
        ("never", JobState::Failed, 3, "never"),
        ("panic", JobState::Failed, 1, "a fault of the server"),
    ] {
        let id = put(&jobs, input).await;
        let job = ended(&database, &id).await;
        assert_eq!((job.state, job.attempts), (state, attempts), "{input}");
        assert_eq!(job.error.map_or(String::new(), |error| error.message), message);
        let word = if state == JobState::Done { "did" } else { "failed" };
        assert!(deeds(&database).await.contains(&format!("{word} {id}")));
    }
    jobs.stop().await;
}

#[tokio::test]
async fn a_job_that_is_taken_away_stops_and_leaves_no_deed() {
    let database = in_memory();
    let work = Obedient::new(0);
    let jobs = Jobs::new(database.clone(), Pace { lease: Duration::from_mins(1), ..quick() });
    jobs.start(vec![work.clone()], 1);
    let id = put(&jobs, "").await;
    chaski_testkit::eventually("the job runs", || work.begun.load(Ordering::SeqCst) == 1).await;
    let batch = Batch::default().clear::<Job>(&me(), vec![Condition::is("id", id.as_str())]);
    jobs.interrupt(batch).await.unwrap();
    chaski_testkit::eventually("it is told", || work.taken.load(Ordering::SeqCst) == 1).await;
    work.gate.add_permits(10);
    let next = put(&jobs, "").await;
    ended(&database, &next).await;
    assert_eq!(deeds(&database).await, [format!("did {next}")]);
    jobs.stop().await;
}

#[tokio::test]
async fn what_runs_when_the_process_stops_is_begun_again_by_the_next() {
    let database = in_memory();
    let work = Obedient::new(0);
    let pace = Pace { lease: Duration::from_mins(1), ..quick() };
    let jobs = Jobs::new(database.clone(), pace);
    jobs.start(vec![work.clone()], 2);
    let id = put(&jobs, "").await;
    chaski_testkit::eventually("the job runs", || work.begun.load(Ordering::SeqCst) == 1).await;
    jobs.stop().await;
    let held = database.get::<Job>(&me(), &id).await.unwrap().unwrap();
    assert_eq!((held.record.state, held.record.attempts), (JobState::Waiting, 0));

    let jobs = Jobs::new(database.clone(), pace);
    jobs.start(vec![Obedient::new(10)], 2);
    assert_eq!(ended(&database, &id).await.attempts, 1);
    assert_eq!(deeds(&database).await, [format!("did {id}")]);
    jobs.stop().await;
}

#[tokio::test]
async fn a_lease_is_kept_while_the_work_goes_on() {
    let database = in_memory();
    let slow = Obedient::new(0);
    let jobs = Jobs::new(database.clone(), quick());
    jobs.start(vec![slow.clone()], 3);
    let id = put(&jobs, "").await;
    chaski_testkit::eventually("the job runs", || slow.begun.load(Ordering::SeqCst) == 1).await;
    let first = database.get::<Job>(&me(), &id).await.unwrap().unwrap().record.due;
    // Two leases on, nobody else has begun it.
    eventually_some(PATIENCE, "two leases", async || {
        let job = database.get::<Job>(&me(), &id).await.unwrap().unwrap().record;
        (job.due > first + 600).then_some(())
    })
    .await;
    assert_eq!(slow.begun.load(Ordering::SeqCst), 1);
    slow.gate.add_permits(1);
    assert_eq!(ended(&database, &id).await.attempts, 1);
    jobs.stop().await;
}

const FILE: &str = "CHASKI_JOBS_TEST_FILE";

/// The child of the next test: works on the jobs of a file until it is killed.
#[test]
fn works_until_it_is_killed() {
    #[expect(clippy::disallowed_methods, reason = "tells the child from an ordinary test run")]
    let Ok(path) = std::env::var(FILE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let jobs = Jobs::new(open(Path::new(&path)), Pace { attempts: 1000, ..quick() });
        jobs.start(vec![Obedient::new(usize::MAX >> 3)], 3);
        std::future::pending::<()>().await;
    });
}

fn child(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "jobs::tests::works_until_it_is_killed", "--nocapture"])
        .env(FILE, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_done_twice_when_workers_are_killed() {
    const JOBS: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    let database = open(&path);
    let jobs = Jobs::new(database.clone(), quick());
    let mut expected = Vec::new();
    for _ in 0..JOBS {
        expected.push(format!("did {}", put(&jobs, "").await));
    }
    for least in [30, 120, 200] {
        let mut worker = child(&path);
        reached(&database, least).await;
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    let mut last = child(&path);
    reached(&database, JOBS).await;
    last.kill().unwrap();
    last.wait().unwrap();
    let mut done = deeds(&database).await;
    done.sort();
    expected.sort();
    assert_eq!(done, expected);
}

#[tokio::test]
async fn a_job_that_kills_every_process_is_given_up() {
    let database = in_memory();
    let mut job = Jobs::prepare("obey", "group", &"");
    // As processes leave it that died while they worked on it.
    (job.state, job.attempts, job.due) = (JobState::Running, 3, milliseconds() - 1);
    database.insert(&me(), &job).await.unwrap();
    let jobs = Jobs::new(database.clone(), quick());
    jobs.start(vec![Obedient::new(1)], 1);
    let ended = ended(&database, &job.id).await;
    assert_eq!(ended.state, JobState::Failed);
    assert!(ended.error.unwrap().message.contains("ended 3 times"));
    jobs.stop().await;
}
