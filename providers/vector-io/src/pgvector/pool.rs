//! Connections to the database: a few that are kept, made anew when they are lost.

use super::{
    failure::{self, NAME, Place},
    sql::{Parameter, Sql},
    tls::Tls,
};
use chaski_api::{Error, ErrorKind, Result};
use chaski_provider::Context;
use deadpool::{
    Runtime,
    managed::{
        self, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, TimeoutType, Timeouts,
    },
};
use std::time::Duration;
use tokio::{runtime::Handle, time::Instant};
use tokio_postgres::{
    Client, Config, Row,
    types::{ToSql, Type},
};

/// How long the database has to hear that nobody waits for a statement any more.
const CANCEL: Duration = Duration::from_secs(5);
/// After which time it is told again.
const CANCEL_AGAIN: Duration = Duration::from_millis(200);

/// What a connection is told first: searches with filters go on until they have found enough.
const FIRST: &str = "SET hnsw.iterative_scan = 'strict_order'";

/// The limits of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// For a connection to be made, with TLS and the password.
    pub(super) connect: Duration,
    /// For a connection to be free.
    pub(super) wait: Duration,
    /// For the answer to all statements of a request.
    pub(super) answer: Duration,
}

/// Makes connections.
struct Connector {
    config: Config,
    tls: Tls,
    /// What each connection is told when it is new.
    first: String,
}

impl managed::Manager for Connector {
    type Type = Client;
    type Error = tokio_postgres::Error;

    async fn create(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(target: "tools", "a connection to {NAME} has ended: {error}");
            }
        });
        client.batch_execute(&self.first).await?;
        Ok(client)
    }

    async fn recycle(
        &self,
        client: &mut Client,
        _: &Metrics,
    ) -> RecycleResult<tokio_postgres::Error> {
        if client.is_closed() {
            return Err(RecycleError::message("the connection is closed"));
        }
        Ok(())
    }
}

/// A database behind a pool of connections.
pub(super) struct Database {
    pool: Pool<Connector>,
    tls: Tls,
    limits: Limits,
    pub(super) place: Place,
}

impl Database {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// None at present: the pool is told what it runs on.
    pub(super) fn new(
        config: Config,
        tls: Tls,
        (place, limits): (Place, Limits),
        connections: usize,
        ef_search: Option<i64>,
    ) -> Result<Self> {
        let ef_search = ef_search.map(|ef| format!("; SET hnsw.ef_search = {ef}"));
        let first = format!("{FIRST}{}", ef_search.unwrap_or_default());
        let connector = Connector { config, tls: tls.clone(), first };
        let pool = Pool::builder(connector).max_size(connections).runtime(Runtime::Tokio1).build();
        let pool =
            pool.map_err(|error| Error::internal("the pool cannot be made").caused_by(error))?;
        Ok(Self { pool, tls, limits, place })
    }

    /// The rows that a statement answers with.
    pub(super) async fn rows(&self, cx: &Context, statement: &Sql) -> Result<Vec<Row>> {
        self.run(cx, Work::Rows(statement)).await
    }

    /// Carries out all of these, or none of them.
    pub(super) async fn all(&self, cx: &Context, statements: &[Sql]) -> Result<()> {
        self.run(cx, Work::All(statements)).await.map(drop)
    }

    /// Carries out some work, on another connection where one turns out to be lost. All work here
    /// may be done twice.
    async fn run(&self, cx: &Context, work: Work<'_>) -> Result<Vec<Row>> {
        let until = Instant::now() + self.limits.answer;
        let until = cx.deadline.map_or(until, |deadline| until.min(Instant::from_std(deadline)));
        // After a restart of the database, every connection of the pool may be lost.
        let mut left = self.pool.status().max_size + 1;
        loop {
            left -= 1;
            match self.attempt(until, &work).await? {
                Err(error) if left > 0 && failure::may_be_repeated(&error) => {
                    tracing::debug!(target: "tools", "repeating statements of {NAME}: {error}");
                }
                Err(error) => return Err(failure::of_statement(error, &self.place)),
                Ok(rows) => return Ok(rows),
            }
        }
    }

    /// Outside: there is no connection, or no time. Inside: a statement has failed.
    async fn attempt(
        &self,
        until: Instant,
        work: &Work<'_>,
    ) -> Result<Result<Vec<Row>, tokio_postgres::Error>> {
        let mut lease = self.lease(until).await?;
        let Ok(outcome) = tokio::time::timeout_at(until, work.carry_out(&mut lease)).await else {
            return Err(late());
        };
        // A connection with a statement that has failed is as good as before.
        lease.done();
        Ok(outcome)
    }

    async fn lease(&self, until: Instant) -> Result<Lease> {
        let left = until.saturating_duration_since(Instant::now());
        let timeouts = Timeouts {
            wait: Some(self.limits.wait.min(left)),
            create: Some(self.limits.connect.min(left)),
            recycle: None,
        };
        let client = self.pool.timeout_get(&timeouts).await.map_err(|error| match error {
            PoolError::Backend(error) => failure::of_connection(error, &self.place),
            PoolError::Timeout(TimeoutType::Wait) => Error::unavailable(format!(
                "all connections to {NAME} are in use; raise `pool_size` of the provider"
            )),
            PoolError::Timeout(TimeoutType::Create | TimeoutType::Recycle) => {
                Error::unavailable(format!(
                    "cannot connect to {NAME}: no connection within the time limit; are `host` and \
                     `port` of the provider right?"
                ))
            }
            error @ (PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_)) => {
                Error::internal("the pool is of no use").caused_by(error)
            }
        })?;
        Ok(Lease { client: Some(client), tls: self.tls.clone() })
    }

    /// Ends all connections that nobody uses.
    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// What is to be done on one connection.
enum Work<'a> {
    /// One statement that answers with rows.
    Rows(&'a Sql),
    /// Statements that count together or not at all.
    All(&'a [Sql]),
}

impl Work<'_> {
    async fn carry_out(&self, lease: &mut Lease) -> Result<Vec<Row>, tokio_postgres::Error> {
        // The connection is there until the lease is given back.
        let Some(client) = lease.client.as_mut() else { return Ok(Vec::new()) };
        match self {
            Self::Rows(statement) => client.query_typed(&statement.text, &typed(statement)).await,
            Self::All([statement]) => {
                client.execute_typed(&statement.text, &typed(statement)).await?;
                Ok(Vec::new())
            }
            Self::All(statements) => {
                let transaction = client.transaction().await?;
                for statement in *statements {
                    transaction.execute_typed(&statement.text, &typed(statement)).await?;
                }
                transaction.commit().await?;
                Ok(Vec::new())
            }
        }
    }
}

fn typed(statement: &Sql) -> Vec<(&(dyn ToSql + Sync), Type)> {
    statement.parameters.iter().map(Parameter::typed).collect()
}

fn late() -> Error {
    Error::new(ErrorKind::Timeout, format!("no answer from {NAME} within the time limit"))
}

/// A connection in use. One whose work was left in the middle does not go back into the pool, and
/// the database is told to stop.
struct Lease {
    client: Option<Object<Connector>>,
    tls: Tls,
}

impl Lease {
    fn done(mut self) {
        drop(self.client.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let client = Object::take(client);
        let (token, tls) = (client.cancel_token(), self.tls.clone());
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let stop = async {
                    loop {
                        let _ = token.cancel_query(tls.clone()).await;
                        // Answered once the statement before it has ended. A cancellation that
                        // comes before its statement has begun is lost, and is sent again.
                        let ended = client.batch_execute("");
                        if tokio::time::timeout(CANCEL_AGAIN, ended).await.is_ok() {
                            break;
                        }
                    }
                };
                // Without an answer, the end of the connection has to tell the database.
                let _ = tokio::time::timeout(CANCEL, stop).await;
                drop(client);
            });
        }
    }
}
