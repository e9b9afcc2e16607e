//! The command line itself.

use crate::support::Place;
use std::io::Read;

#[test]
fn a_bare_command_shows_what_can_be_written() {
    let place = Place::new();
    for (args, expected) in [
        (&[][..], "Usage: chaski [COMMAND]"),
        (&["stack"], "Usage: chaski stack [COMMAND]"),
        (&["model"], "Usage: chaski model [COMMAND]"),
        (&["config"], "Usage: chaski config [COMMAND]"),
    ] {
        let ran = place.run(args).succeeded();
        assert!(ran.out.contains(expected), "{}", ran.out);
    }
}

#[test]
fn the_version_is_shown_in_both_spellings() {
    let place = Place::new();
    let version = env!("CARGO_PKG_VERSION");
    for args in [&["--version"][..], &["stack", "--version"]] {
        let ran = place.run(args).succeeded();
        assert!(ran.out.trim().ends_with(version), "{}", ran.out);
    }
}

#[test]
fn the_help_lists_the_environment_variables() {
    let ran = Place::new().run(&["--help"]).succeeded();
    for variable in chaski_cli::VARIABLES {
        assert!(ran.out.contains(variable.name), "{}", variable.name);
        assert!(variable.twin.is_none_or(|twin| ran.out.contains(twin)), "{}", variable.name);
    }
}

#[test]
fn what_is_not_understood_ends_with_code_2() {
    let place = Place::new();
    for args in [&["bogus"][..], &["run", "--bogus"], &["run", "--port", "x"], &["completions"]] {
        let ran = place.run(args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.err);
        assert_eq!(ran.out, "");
        assert!(ran.err.starts_with("error: "), "{args:?}: {}", ran.err);
    }
}

#[test]
fn completions_and_the_manual_are_written() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = place.run(&["completions", shell]).succeeded();
        assert!(ran.out.contains("list-providers"), "{shell}");
    }
    assert!(place.run(&["man"]).succeeded().out.contains(".TH chaski"));
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let place = Place::new();
    let mut child = place.command(&["config", "schema"]).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(err, "");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
