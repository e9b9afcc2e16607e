//! Where the index keeps its files.

use super::IndexConfig;
use crate::{faiss::FaissConfig, names};
use chaski_api::{Error, Result};
use chaski_provider::Environment;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The variables that say where the configuration folder is.
pub(crate) const VARIABLES: &[&str] = &["CHASKI_CONFIG_DIR", "HOME"];

/// The folder of all indexes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder that the settings come to.
    ///
    /// # Errors
    /// `Unavailable` if neither they nor the environment say one.
    pub(crate) fn of(config: &IndexConfig, environment: &Environment) -> Result<Self> {
        let own = given(config.path.as_deref()).map(|path| Self(path.into()));
        let beside = || beside(config.db_path.as_deref(), config.kvstore.as_ref());
        own.or_else(beside).map_or_else(|| Self::usual(environment), Ok)
    }

    /// The folder beside what the settings of another store name.
    ///
    /// # Errors
    /// `Unavailable` if neither they nor the environment say one.
    pub(crate) fn beside(config: &FaissConfig, environment: &Environment) -> Result<Self> {
        let path = given(config.path.as_deref()).or_else(|| given(config.db_path.as_deref()));
        beside(path, config.kvstore.as_ref()).map_or_else(|| Self::usual(environment), Ok)
    }

    /// The folder where nothing says another one.
    fn usual(environment: &Environment) -> Result<Self> {
        let of_configuration = environment.get("CHASKI_CONFIG_DIR").map(PathBuf::from);
        let of_home = || environment.get("HOME").map(|home| Path::new(home).join(".chaski"));
        let folder = of_configuration.or_else(of_home).ok_or_else(|| {
            Error::unavailable("the index has no folder for its files; set `path`")
        })?;
        Ok(Self(folder.join("vector_io")))
    }

    #[cfg(test)]
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The folder of the index called `name`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// For the log.
    pub(crate) fn shown(&self) -> String {
        self.0.display().to_string()
    }

    /// Makes the folder, unless it is there.
    ///
    /// # Errors
    /// `Unavailable` if that cannot be done.
    pub(crate) fn make(&self) -> Result<()> {
        std::fs::create_dir_all(&self.0).map_err(|error| {
            let message = format!("the folder of the index cannot be made: {error}; set `path`");
            Error::unavailable(message).caused_by(error)
        })
    }
}

/// The folder beside the files of another store: those at `path`, or those that `kvstore` names.
fn beside(path: Option<&str>, kvstore: Option<&Map<String, Value>>) -> Option<Folder> {
    let of_store = || given(kvstore?.get("db_path")?.as_str());
    let path = given(path).or_else(of_store).filter(|path| *path != ":memory:")?;
    let path = path.trim_end_matches('/');
    Some(Folder(format!("{path}.index").into()))
}

/// The text without blanks around it; nothing if that is all.
fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// The name of the folder of a vector database. Capitals are not told apart by all file systems.
pub(crate) fn name(id: &str) -> String {
    if id.chars().any(char::is_uppercase) {
        return names::made(id, LONGEST);
    }
    names::collection(id, LONGEST, |letter| matches!(letter, '.' | '_' | '-'))
}

const LONGEST: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::Wire;
    use serde_json::json;

    fn folder(config: Value) -> String {
        let config = IndexConfig::from_json(config).unwrap();
        let environment = [("HOME".to_owned(), "/home/x".to_owned())];
        Folder::of(&config, &Environment::new(environment.into())).unwrap().shown()
    }

    #[test]
    fn the_folder_is_that_of_the_settings_or_beside_the_file_of_another_store() {
        assert_eq!(folder(json!({ "path": "/p" })), "/p");
        assert_eq!(folder(json!({ "db_path": "/d/sqlite_vec.db" })), "/d/sqlite_vec.db.index");
        let store = json!({ "type": "sqlite", "db_path": "/d/faiss_store.db" });
        assert_eq!(folder(json!({ "kvstore": store.clone() })), "/d/faiss_store.db.index");
        for elsewhere in [
            json!({}),
            json!({ "db_path": ":memory:" }),
            json!({ "kvstore": { "type": "redis", "host": "h" } }),
        ] {
            assert_eq!(folder(elsewhere), "/home/x/.chaski/vector_io");
        }
        let replaced = |config: Value| {
            let config = FaissConfig::from_json(config).unwrap();
            Folder::beside(&config, &Environment::default()).map(|folder| folder.shown())
        };
        // The folder is that of another program.
        assert_eq!(replaced(json!({ "path": "/d/qdrant" })).unwrap(), "/d/qdrant.index");
        assert_eq!(replaced(json!({ "path": "/d/qdrant/" })).unwrap(), "/d/qdrant.index");
        assert_eq!(replaced(json!({ "db_path": "/d/chroma/" })).unwrap(), "/d/chroma.index");
        assert_eq!(replaced(json!({ "kvstore": store })).unwrap(), "/d/faiss_store.db.index");
        assert!(replaced(json!({ "path": ":memory:" })).is_err());
        let nowhere =
            Folder::of(&IndexConfig::from_json(json!({})).unwrap(), &Environment::default());
        assert!(nowhere.unwrap_err().message.contains("set `path`"));
    }

    #[test]
    fn names_that_differ_in_capitals_only_have_two_folders() {
        assert_ne!(name("Docs").to_lowercase(), name("docs").to_lowercase());
        assert_eq!(name("docs-2.x"), "docs-2.x");
        assert!(!name("../../etc").contains('.'));
    }
}
