//! Where the parts of an upstream's API are.

use super::Dialect;
use chaski_api::{Error, Result};
use url::Url;

/// What stands for the id of the model in a path.
const MODEL: &str = "{model}";

/// The address of a part of the API.
#[derive(Debug, Clone)]
pub(super) enum Address {
    Fixed(Url),
    /// The base URL and the path after it, with a place for the id of the model.
    ByModel(Url, &'static str),
    /// The upstream does not have this part, which is called so.
    Absent(&'static str),
}

impl Address {
    /// `what` names the part in messages.
    pub(super) fn new(base: &Url, path: Option<&'static str>, what: &'static str) -> Self {
        match path {
            None => Self::Absent(what),
            Some(path) if path.contains(MODEL) => Self::ByModel(base.clone(), path),
            Some(path) => Self::Fixed(after(base, path)),
        }
    }

    /// The address for a request to `model`.
    ///
    /// # Errors
    /// `Unsupported` if the upstream has no such part, `InvalidRequest` if the id of the model
    /// cannot stand in an address.
    pub(super) fn of(&self, dialect: &Dialect, model: &str) -> Result<Url> {
        match self {
            Self::Fixed(url) => Ok(url.clone()),
            Self::Absent(what) => {
                let name = dialect.name;
                Err(Error::unsupported(format!("{name} does not support {what}")))
            }
            Self::ByModel(base, path) => {
                // As a step of a path these would lead elsewhere.
                if matches!(model, "" | "." | "..") {
                    let message = format!("`{model}` cannot be the name of a model");
                    return Err(Error::invalid(message).with_param("model"));
                }
                let mut url = base.clone();
                if let Ok(mut steps) = url.path_segments_mut() {
                    steps.pop_if_empty();
                    for step in path.split('/').filter(|step| !step.is_empty()) {
                        steps.push(if step == MODEL { model } else { step });
                    }
                }
                Ok(url)
            }
        }
    }
}

/// The address at `path` after the base URL, whose query it keeps.
pub(super) fn after(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// # Errors
/// `InvalidRequest` if the text is no web address.
pub(super) fn base_url(dialect: &Dialect, text: &str) -> Result<Url> {
    let url = Url::parse(text.trim()).ok();
    url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()).ok_or_else(|| {
        let example = "use one such as `http://localhost:8000/v1`";
        Error::invalid(format!("the URL of {} is not a web address; {example}", dialect.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaski_api::ErrorKind;

    fn at(base: &str, path: Option<&'static str>, model: &str) -> Result<String> {
        let base = base_url(&Dialect::OPENAI, base)?;
        Address::new(&base, path, "chats").of(&Dialect::OPENAI, model).map(String::from)
    }

    #[test]
    fn paths_follow_the_base_url_and_keep_its_query() {
        for base in ["http://a/v1", "http://a/v1/"] {
            assert_eq!(at(base, Some("/models"), "m").unwrap(), "http://a/v1/models");
        }
        assert_eq!(at("http://a?v=1", Some("/x"), "m").unwrap(), "http://a/x?v=1");
    }

    #[test]
    fn the_id_of_the_model_is_one_step_of_the_path_whatever_it_is() {
        let path = Some("/deployments/{model}/chat");
        let chat = |model: &str| at("http://a/b/?v=1", path, model);
        assert_eq!(chat("gpt-4o").unwrap(), "http://a/b/deployments/gpt-4o/chat?v=1");
        assert_eq!(chat("../x?y#z").unwrap(), "http://a/b/deployments/..%2Fx%3Fy%23z/chat?v=1");
        for model in ["", ".", ".."] {
            assert_eq!(chat(model).unwrap_err().kind, ErrorKind::InvalidRequest);
        }
    }

    #[test]
    fn a_part_that_the_upstream_does_not_have_is_named() {
        let error = at("http://a", None, "m").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert_eq!(error.message, "OpenAI does not support chats");
    }
}
