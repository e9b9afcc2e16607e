//! Where key-value data is kept, as a run configuration says it.

use chaski_api::{Secret, wire::Between};

chaski_api::wire! {
    /// A SQLite file.
    pub struct SqliteConfig {
        /// A prefix of the keys, for stores that several stacks share.
        pub namespace: Option<String>,
        /// The file; `:memory:` is a database in memory. Unless given, `runtime/kvstore.db` in the
        /// configuration folder.
        pub db_path: Option<String>,
    }

    /// A Redis server.
    pub struct RedisConfig {
        /// A prefix of the keys, for stores that several stacks share.
        pub namespace: Option<String>,
        /// Its host name.
        pub host: String = "localhost".to_owned(),
        /// Its port.
        pub port: Between<1, 65535> = Between(6379),
    }

    /// A PostgreSQL server.
    pub struct PostgresConfig {
        /// A prefix of the keys, for stores that several stacks share.
        pub namespace: Option<String>,
        /// Its host name.
        pub host: String = "localhost".to_owned(),
        /// Its port.
        pub port: Between<1, 65535> = Between(5432),
        /// The database.
        pub db: String = "llamastack".to_owned(),
        /// The user.
        pub user: String,
        /// The user's password.
        pub password: Option<Secret>,
        /// The table.
        pub table_name: String = "llamastack_kvstore".to_owned(),
    }

    /// A MongoDB server.
    pub struct MongoConfig {
        /// A prefix of the keys, for stores that several stacks share.
        pub namespace: Option<String>,
        /// Its host name.
        pub host: String = "localhost".to_owned(),
        /// Its port.
        pub port: Between<1, 65535> = Between(27017),
        /// The database.
        pub db: String = "llamastack".to_owned(),
        /// The user.
        pub user: Option<String>,
        /// The user's password.
        pub password: Option<Secret>,
        /// The collection.
        pub collection_name: String = "llamastack_kvstore".to_owned(),
    }

    /// Where key-value data is kept.
    pub union StorageConfig by "type" {
        Sqlite(SqliteConfig) = "sqlite",
        Redis(RedisConfig) = "redis",
        Postgres(PostgresConfig) = "postgres",
        Mongodb(MongoConfig) = "mongodb",
    }
}

impl StorageConfig {
    /// Why this build cannot use the store, if it cannot.
    pub(crate) fn missing(&self) -> Option<String> {
        let kind = match self {
            Self::Sqlite(_) => return None,
            Self::Redis(_) => "redis",
            Self::Postgres(_) => "postgres",
            Self::Mongodb(_) => "mongodb",
        };
        Some(format!("this build does not contain the store `{kind}` yet; use `type: sqlite`"))
    }
}
