//! What the types of the fields cannot say about the settings.

use super::{ModelShields, RunConfig, ServerConfig, nearest};
use chaski_api::{Issue, Reader, models::ModelType};
use chaski_upstream::HostPort;
use url::Url;

/// The problems of well-formed settings.
pub(super) fn run(config: &RunConfig) -> Vec<Issue> {
    let mut reader = Reader::default();
    if let Some(reason) = config.metadata_store.as_ref().and_then(super::StorageConfig::missing) {
        put(&mut reader, &["metadata_store", "type"], None, reason);
    }
    reader.key("server", |reader| server(&config.server, reader));
    shields(config, &mut reader);
    reader.finish::<()>(None).err().unwrap_or_default()
}

fn server(config: &ServerConfig, reader: &mut Reader) {
    let mut problem = |path: &[&'static str], index: Option<usize>, msg: String| {
        put(reader, path, index, msg);
    };

    let pair = [
        ("tls_certfile", &config.tls_certfile, "tls_keyfile", &config.tls_keyfile),
        ("tls_keyfile", &config.tls_keyfile, "tls_certfile", &config.tls_certfile),
    ];
    for (given, value, missing, other) in pair {
        if value.is_some() && other.is_none() {
            problem(&[missing], None, format!("`{given}` is given, so this one is needed too"));
        }
    }
    if let Some(auth) = config.auth.as_ref().filter(|auth| !is_address(&auth.endpoint)) {
        let shown = super::redacted_text(&auth.endpoint);
        let msg = format!("`{shown}` is not an address, such as `http://localhost:9000/auth`");
        problem(&["auth", "endpoint"], None, msg);
    }
    for (index, origin) in config.cors_origins.iter().enumerate() {
        if !is_origin(origin) {
            let msg =
                format!("`{origin}` is not an origin, such as `https://app.example.com`, or `*`");
            problem(&["cors_origins"], Some(index), msg);
        }
    }
    for (index, entry) in config.egress_allow.iter().enumerate() {
        if let Err(msg) = entry.parse::<HostPort>() {
            problem(&["egress_allow"], Some(index), msg);
        }
    }
    let version = &config.reported_version;
    if version.split('.').count() < 3 || !version.split('.').take(2).all(is_number) {
        problem(
            &["reported_version"],
            None,
            format!("`{version}` is not a version, such as `0.1.7`"),
        );
    }
}

/// Finds shields of models and of moderations that are not declared.
fn shields(config: &RunConfig, reader: &mut Reader) {
    let declared: Vec<&str> = config.shields.iter().map(|one| one.shield_id.as_str()).collect();
    let missing = |id: &str| {
        let hint = nearest(id, declared.iter().copied());
        let hint = hint.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
        format!("there is no shield `{id}` in `shields`{hint}")
    };
    let check = |of: &ModelShields, reader: &mut Reader| {
        for (key, ids) in [("input", &of.input), ("output", &of.output)] {
            for (index, id) in
                ids.iter().enumerate().filter(|(_, id)| !declared.contains(&id.as_str()))
            {
                put(reader, &[key], Some(index), missing(id));
            }
        }
    };
    reader.key("models", |reader| {
        for (index, model) in config.models.iter().enumerate() {
            let Some(of) = &model.shields else { continue };
            reader.index(index, |reader| {
                reader.key("shields", |reader| {
                    if model.model_type == ModelType::Llm {
                        check(of, reader);
                    } else {
                        let text = "only models that generate text have shields; remove them";
                        put(reader, &[], None, text.to_owned());
                    }
                });
            });
        }
    });
    let Some(safety) = &config.safety else { return };
    reader.key("safety", |reader| {
        if let Some(of) = &safety.shields {
            reader.key("shields", |reader| check(of, reader));
        }
        if let Some(id) = &safety.default_shield_id
            && !declared.contains(&id.as_str())
        {
            put(reader, &["default_shield_id"], None, missing(id));
        }
    });
}

fn put(reader: &mut Reader, path: &[&'static str], index: Option<usize>, msg: String) {
    match (path, index) {
        ([first, rest @ ..], _) => reader.key(*first, |reader| put(reader, rest, index, msg)),
        ([], Some(index)) => reader.index(index, |reader| put(reader, &[], None, msg)),
        ([], None) => {
            reader.issue::<()>("value", msg);
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// A scheme, a host and maybe a port, as browsers send them; or the star.
fn is_origin(text: &str) -> bool {
    text == "*" || Url::parse(text).is_ok_and(|url| url.origin().ascii_serialization() == text)
}
