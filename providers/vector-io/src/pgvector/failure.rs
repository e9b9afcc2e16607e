//! What goes wrong with `PostgreSQL`, in words that say what to do.

use chaski_api::{Error, ErrorKind};
use std::{error::Error as _, fmt, io};
use tokio_postgres::error::SqlState;

pub(super) const NAME: &str = "PostgreSQL";

/// Where the database is, for the log: callers are not told.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: i64,
    pub(super) db: String,
    pub(super) user: String,
}

/// What was being done when something went wrong.
#[derive(Debug)]
struct Located {
    doing: &'static str,
    place: Place,
    source: tokio_postgres::Error,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { host, port, db, user } = &self.place;
        write!(f, "{} `{db}` at `{host}:{port}` as `{user}`", self.doing)
    }
}

impl std::error::Error for Located {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Why there is no connection, with the setting that mends it.
pub(super) fn of_connection(error: tokio_postgres::Error, place: &Place) -> Error {
    let Place { db, user, .. } = place;
    let said = error.as_db_error().map(|said| said.message().to_owned()).unwrap_or_default();
    let message = match error.code() {
        Some(code) if *code == SqlState::INVALID_PASSWORD => format!(
            "{NAME} does not accept the password of the user `{user}`; set `password` of the provider"
        ),
        Some(code) if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => format!(
            "{NAME} does not let the user `{user}` in: {said}; set `user` and `ssl_mode` of the \
             provider, or allow the connection in `pg_hba.conf`"
        ),
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
            format!("{NAME} has no database `{db}`; create it, or set `db` of the provider")
        }
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => format!(
            "{NAME} has no connection left; lower `pool_size` of the provider, or raise \
             `max_connections` of the server"
        ),
        Some(code) if *code == SqlState::CANNOT_CONNECT_NOW => {
            format!("{NAME} is starting or stopping: {said}")
        }
        Some(_) => format!("{NAME} refuses the connection: {said}"),
        None => not_reached(&error),
    };
    let located = Located { doing: "connecting to", place: place.clone(), source: error };
    Error::unavailable(message).caused_by(located)
}

/// Why nobody has answered.
fn not_reached(error: &tokio_postgres::Error) -> String {
    const WRONG: &str = "no connection; are `host` and `port` of the provider right?";
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    let reason = causes.filter_map(reason).last().unwrap_or(WRONG);
    format!("cannot connect to {NAME}: {reason}")
}

/// What a cause means, and which setting mends it.
fn reason(cause: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let io = cause.downcast_ref::<io::Error>();
    let wrapped = io.and_then(io::Error::get_ref);
    if wrapped.is_some_and(<dyn std::error::Error + Send + Sync>::is::<tokio_rustls::rustls::Error>)
    {
        return Some(
            "its TLS certificate or version is not accepted; set `ca_cert_path` to its authority, or \
             `ssl_mode` to `require`, which does not check it",
        );
    }
    match io.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => {
            return Some(
                "connection refused; is it running, and are `host` and `port` of the provider right?",
            );
        }
        Some(io::ErrorKind::TimedOut) => {
            return Some("no connection within the time limit; is `host` of the provider right?");
        }
        _ => {}
    }
    // The driver has no kinds for these.
    let said = cause.to_string();
    if said.contains("does not support TLS") {
        Some("it does not offer TLS; set `ssl_mode` of the provider to `prefer`")
    } else if said.contains("failed to lookup address") {
        Some("the name in `host` of the provider cannot be resolved")
    } else if said.contains("password missing") {
        Some("it asks for a password; set `password` of the provider")
    } else {
        None
    }
}

/// Why a statement has failed.
pub(super) fn of_statement(error: tokio_postgres::Error, place: &Place) -> Error {
    let Place { db, user, .. } = place;
    let Some(said) = error.as_db_error() else {
        let message = format!("the connection to {NAME} was lost");
        return located(Error::new(ErrorKind::Upstream { status: None }, message), error, place);
    };
    let code = said.code();
    let said = said.message();
    let told = if *code == SqlState::UNDEFINED_TABLE {
        Error::new(ErrorKind::Upstream { status: Some(404) }, format!("{NAME}: {said}"))
    } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
        Error::unavailable(format!(
            "{NAME} does not let the user `{user}` do this: {said}; grant it `CREATE` on the schema"
        ))
    } else if *code == SqlState::QUERY_CANCELED {
        Error::new(ErrorKind::Timeout, format!("{NAME} has ended the statement: {said}"))
    } else if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
        Error::unavailable(format!(
            "the database `{db}` of {NAME} is read-only; set `host` of the provider to the primary"
        ))
    } else if *code == SqlState::CHARACTER_NOT_IN_REPERTOIRE {
        Error::invalid(format!("{NAME} keeps no ids with the character U+0000"))
    } else if *code == SqlState::PROGRAM_LIMIT_EXCEEDED {
        Error::invalid(format!("{NAME} cannot keep this: {said}"))
    } else {
        Error::new(ErrorKind::Upstream { status: None }, format!("{NAME}: {said}"))
    };
    located(told, error, place)
}

/// Why the extension cannot be had.
pub(super) fn of_extension(error: Error, place: &Place) -> Error {
    let Place { db, user, .. } = place;
    let code = error
        .source
        .as_ref()
        .and_then(|source| source.downcast_ref::<Located>())
        .and_then(|located| located.source.code().cloned());
    let message = match code {
        Some(code) if code == SqlState::INSUFFICIENT_PRIVILEGE => format!(
            "the database `{db}` of {NAME} does not have the extension `vector`, and the user \
             `{user}` may not add it; let an administrator run `CREATE EXTENSION vector` in it"
        ),
        Some(code)
            if [SqlState::UNDEFINED_FILE, SqlState::FEATURE_NOT_SUPPORTED].contains(&code) =>
        {
            format!("{NAME} does not have the extension `vector`; install pgvector on the server")
        }
        _ => return error,
    };
    Error { message, ..error }
}

fn located(told: Error, source: tokio_postgres::Error, place: &Place) -> Error {
    told.caused_by(Located { doing: "in", place: place.clone(), source })
}

/// Whether a statement that failed may succeed on another connection, or after the one that was in
/// its way.
pub(super) fn may_be_repeated(error: &tokio_postgres::Error) -> bool {
    let is_lost =
        error.is_closed() || error.source().is_some_and(<dyn std::error::Error>::is::<io::Error>);
    let codes = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ];
    is_lost || error.code().is_some_and(|code| codes.contains(code))
}
