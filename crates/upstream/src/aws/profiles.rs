//! The files in which the tools of AWS keep settings and keys by profile.

use super::chain::Variables;
use chaski_api::{Error, Result};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

/// The profile that is used where none is named.
const DEFAULT: &str = "default";

/// The settings of one profile, from both files.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Profile(BTreeMap<String, String>);

impl Profile {
    /// The value of a setting; an empty one counts as not given.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The first setting whose name begins so.
    pub(super) fn first_of(&self, start: &str) -> Option<&str> {
        self.0.keys().map(String::as_str).find(|key| key.starts_with(start))
    }
}

/// All profiles by name.
#[derive(Debug, Default)]
pub(super) struct Profiles(BTreeMap<String, Profile>);

impl Profiles {
    /// Reads both files; one that does not exist is as good as an empty one.
    ///
    /// # Errors
    /// `Unavailable` with the path of a file that cannot be read.
    pub(super) async fn load(variables: &Variables) -> Result<Self> {
        let mut profiles = Self::default();
        if let Some(path) = path(variables, "AWS_CONFIG_FILE", "config") {
            let name = |section: &str| match section.strip_prefix("profile") {
                Some(name) if name.starts_with([' ', '\t']) => Some(name.trim().to_owned()),
                Some(_) | None => (section == DEFAULT).then(|| DEFAULT.to_owned()),
            };
            profiles.add(&read(&path).await?, name);
        }
        if let Some(path) = path(variables, "AWS_SHARED_CREDENTIALS_FILE", "credentials") {
            profiles.add(&read(&path).await?, |section| Some(section.to_owned()));
        }
        Ok(profiles)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Profile> {
        self.0.get(name)
    }

    /// Adds the sections of a file; later values win.
    fn add(&mut self, text: &str, name: impl Fn(&str) -> Option<String>) {
        let mut current = None;
        for line in text.lines() {
            let trimmed = line.trim();
            // What is indented belongs to a setting with parts, of which none is needed here.
            if trimmed.is_empty() || line.starts_with(['#', ';', ' ', '\t']) {
                continue;
            }
            if let Some(section) = trimmed.strip_prefix('[') {
                let section = section.split(']').next().unwrap_or_default().trim();
                current = name(section);
                if let Some(name) = &current {
                    self.0.entry(name.clone()).or_default();
                }
            } else if let Some((key, value)) = trimmed.split_once('=')
                && let Some(name) = &current
            {
                let key = key.trim().to_ascii_lowercase();
                let profile = self.0.entry(name.clone()).or_default();
                profile.0.insert(key, value.trim().to_owned());
            }
        }
    }
}

/// The profile that the environment names.
pub(super) fn named(variables: &Variables) -> Option<&str> {
    variables.get("AWS_PROFILE").or_else(|| variables.get("AWS_DEFAULT_PROFILE"))
}

/// The name of the profile to use.
pub(super) fn chosen<'a>(configured: Option<&'a str>, variables: &'a Variables) -> &'a str {
    configured.or_else(|| named(variables)).unwrap_or(DEFAULT)
}

/// Where a file is: at the place that the variable names, or in the folder of the user.
fn path(variables: &Variables, variable: &str, name: &str) -> Option<PathBuf> {
    let home = variables.get("HOME").map(Path::new);
    match variables.get(variable) {
        Some(path) => match path.strip_prefix("~/") {
            Some(rest) => Some(home?.join(rest)),
            None => Some(path.into()),
        },
        None => Some(home?.join(".aws").join(name)),
    }
}

async fn read(path: &Path) -> Result<String> {
    match tokio::fs::read_to_string(path).await {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => {
            let message = format!("cannot read `{}`: {error}", path.display());
            Err(Error::unavailable(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
# a comment
ignored = outside
[default]
region = eu-central-1
s3 =
    addressing_style = path
[profile work]
; another
Role_Arn=arn:aws:iam::1:role/r
source_profile = default

[sso-session x]
sso_region = eu-west-1
";
    const CREDENTIALS: &str = "[default]\naws_access_key_id = AKID\naws_secret_access_key= a=b\n";

    #[tokio::test]
    async fn profiles_come_from_both_files_by_their_names() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        std::fs::create_dir(dir.path().join(".aws")).unwrap();
        std::fs::write(&config, CONFIG).unwrap();
        std::fs::write(dir.path().join(".aws/credentials"), CREDENTIALS).unwrap();
        let home = dir.path().to_str().unwrap().to_owned();
        let variables = Variables::new([("HOME", home.as_str()), ("AWS_CONFIG_FILE", "~/config")]);
        let profiles = Profiles::load(&variables).await.unwrap();

        let names: Vec<&str> = profiles.0.keys().map(String::as_str).collect();
        assert_eq!(names, ["default", "work"]);
        let default = profiles.get("default").unwrap();
        assert_eq!(default.get("region"), Some("eu-central-1"));
        assert_eq!(default.get("aws_secret_access_key"), Some("a=b"));
        assert_eq!((default.get("s3"), default.get("addressing_style")), (None, None));
        let work = profiles.get("work").unwrap();
        assert_eq!(work.get("role_arn"), Some("arn:aws:iam::1:role/r"));
        assert_eq!(work.first_of("source_"), Some("source_profile"));
    }

    #[tokio::test]
    async fn files_that_do_not_exist_hold_no_profiles_and_broken_ones_are_named() {
        let profiles = Profiles::load(&Variables::new([("HOME", "/nowhere")])).await.unwrap();
        assert!(profiles.get(chosen(None, &Variables::default())).is_none());
        let folder = std::env::temp_dir().to_str().unwrap().to_owned();
        let variables = Variables::new([("AWS_CONFIG_FILE", folder.as_str())]);
        let error = Profiles::load(&variables).await.unwrap_err();
        assert!(error.message.starts_with(&format!("cannot read `{folder}`: ")), "{error}");
    }
}
