//! `chaski config`, and how configurations are found.

use crate::support::Place;

const BROKEN: &str = "\
version: '2'
image_name: broken
apis: [inference, inferense]
providers:
  inference:
  - provider_id: a
    provider_type: remote::vlm
    config: {}
  - provider_id: b
    provider_type: remote::vllm
    config: {max_tokens: many}
server: {port: '80'}
";

const ODD: &str = "\
version: '2'
image_name: odd
providers:
  inference:
  - provider_id: b
    provider_type: remote::vllm
    config: {url: 'http://127.0.0.1:9', api_token: sekrit-token}
sever: {port: 9000}
";

#[test]
fn a_check_shows_every_problem_at_once() {
    let place = Place::new();
    place.write("run.yaml", BROKEN);
    let ran = place.run(&["config", "check", "run.yaml"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.starts_with("error: the run configuration `run.yaml` has "), "{}", ran.err);
    let as_json = place.run(&["config", "check", "run.yaml", "--json"]);
    assert_eq!((as_json.code, as_json.err.as_str()), (Some(1), ""));
    let checked = as_json.json();
    assert_eq!(checked["valid"], false);
    let problems = checked["problems"].as_array().unwrap();
    assert_eq!(ran.err.lines().count(), problems.len() + 1);
    for problem in problems {
        let path = problem["path"].as_str().unwrap();
        assert!(ran.err.contains(&format!("\n  {path}: ")), "{path} in {}", ran.err);
    }
}

#[test]
fn a_start_with_a_broken_file_shows_the_same() {
    let place = Place::new();
    place.write("run.yaml", BROKEN);
    let checked = place.run(&["config", "check", "run.yaml"]);
    let ran = place.run(&["run", "run.yaml"]);
    assert_eq!((ran.code, ran.err), (Some(1), checked.err));
}

#[test]
fn keys_that_mean_nothing_fail_a_strict_check_only() {
    let place = Place::new();
    place.write("run.yaml", ODD);
    let ran = place.run(&["config", "check", "run.yaml"]).succeeded();
    assert_eq!(ran.out, "`run.yaml` is valid\n");
    assert!(ran.err.starts_with("warning: "), "{}", ran.err);
    assert!(ran.err.contains("sever") && ran.err.contains("server"), "{}", ran.err);
    let strict = place.run(&["config", "check", "run.yaml", "--strict"]);
    assert_eq!((strict.code, strict.out.as_str()), (Some(1), ""));
    let expected = "error: the run configuration `run.yaml` has a problem:\n  sever: ";
    assert!(strict.err.starts_with(expected), "{}", strict.err);
}

#[test]
fn what_is_shown_is_resolved_and_has_no_secrets() {
    let place = Place::new();
    place.write("run.yaml", &ODD.replace("127.0.0.1:9", "${env.UPSTREAM}"));
    let ran = place.run(&["config", "show", "run.yaml", "--env", "UPSTREAM=up.example:1"]);
    let ran = ran.succeeded();
    assert!(ran.out.contains("http://up.example:1"), "{}", ran.out);
    assert!(ran.out.contains("********") && !ran.out.contains("sekrit"), "{}", ran.out);
    let missing = place.run(&["config", "show", "run.yaml"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.err.contains("UPSTREAM"), "{}", missing.err);
}

#[test]
fn every_template_is_valid_once_its_variables_are_set() {
    let place = Place::new();
    let listed = place.run(&["list-templates", "--json"]).succeeded().json();
    for template in listed.as_array().unwrap() {
        let mut args = vec!["config".to_owned(), "check".to_owned()];
        args.push(template["name"].as_str().unwrap().to_owned());
        let borrowed: Vec<&str> = args.iter().map(String::as_str).collect();
        let bare = place.run(&borrowed);
        let names = bare.err.lines().filter_map(|line| {
            line.split_once("Environment variable '")?.1.split_once('\'').map(|(name, _)| name)
        });
        for name in names {
            args.extend(["--env".to_owned(), format!("{name}=http://127.0.0.1:9")]);
        }
        let borrowed: Vec<&str> = args.iter().map(String::as_str).collect();
        place.run(&borrowed).succeeded();
    }
}

#[test]
fn the_schema_is_a_json_schema() {
    let schema = Place::new().run(&["config", "schema"]).succeeded().json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(schema["properties"]["providers"].is_object());
}

#[test]
fn a_configuration_is_found_by_path_template_or_distribution() {
    let place = Place::new();
    place.write("config/distributions/mine/mine-run.yaml", ODD);
    place.write("config/distributions/llamastack-yours/yours-run.yaml", ODD);
    for name in ["starter", "mine", "yours"] {
        place.run(&["config", "check", name]).succeeded();
    }
}

#[test]
fn what_is_not_found_is_answered_with_the_nearest_name() {
    let place = Place::new();
    place.run(&["run", "startr"]).failed_with(
        2,
        "error: `startr` is neither a file nor a template, and \
         [folder]/config/distributions/startr/startr-run.yaml does not exist.\n\
         hint: did you mean `starter`?\n",
    );
    let ran = place.run(&["stack", "run", "nope.yaml"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.starts_with("error: File nope.yaml does not exist.\nhint: "), "{}", ran.err);
    place.write("folder/x", "");
    place
        .run(&["stack", "run", "folder"])
        .failed_with(2, "error: Config file must be a valid file path, and `folder` is a folder\n");
}

#[test]
fn the_spellings_of_the_reference_fail_in_its_words() {
    let place = Place::new();
    place
        .run(&["run", "--yaml-config", "nope.yaml"])
        .failed_with(1, "error: Config file nope.yaml does not exist\n");
    place.run(&["run", "--template", "nope"]).failed_with(
        1,
        "error: Template nope does not exist\nhint: `chaski list-templates` lists them\n",
    );
}

#[test]
fn a_wrong_pair_is_refused_with_the_cause() {
    let place = Place::new();
    let check = |pair: &str, cause: &str| {
        place.run(&["run", "--env", pair]).failed_with(
            1,
            &format!(
                "error: Invalid environment variable format '{pair}': {cause}. \
                 Expected format: KEY=value\n"
            ),
        );
    };
    check("foo", "not enough values to unpack (expected 2, got 1)");
    check("=x", "Empty key in environment variable pair: =x");
    check("a-b=c", "Key must contain only alphanumeric characters and underscores: a-b");
    check("A B=c", "Key must contain only alphanumeric characters and underscores: A B");
    place
        .run(&["stack", "run", "--env", "foo"])
        .failed_with(2, "error: Environment variable 'foo' must be in KEY=VALUE format\n");
    place
        .run(&["stack", "run", "--env", "=v"])
        .failed_with(2, "error: Environment variable '=v' has empty key\n");
}
