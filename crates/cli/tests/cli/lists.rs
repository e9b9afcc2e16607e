//! The commands that list what there is.

use crate::support::Place;

#[test]
fn the_apis_come_in_the_order_of_the_reference() {
    let place = Place::new();
    let apis = place.run(&["list-apis", "--json"]).succeeded().json();
    let apis = apis.as_array().unwrap();
    assert_eq!(apis.len(), 20);
    assert_eq!((&apis[0], &apis[19]), (&"providers".into(), &"inspect".into()));
    let shown = place.run(&["stack", "list-apis"]).succeeded().out;
    assert_eq!(shown.lines().count(), 21);
    assert!(shown.starts_with("API\nproviders\ninference\n"), "{shown}");
}

#[test]
fn every_provider_of_this_build_is_listed() {
    let place = Place::new();
    let listed = place.run(&["list-providers", "--json"]).succeeded().json();
    let types: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["provider_type"].as_str().unwrap())
        .collect();
    for entry in chaski_providers_inference::ALL {
        assert!(types.contains(&entry.spec.provider_type), "{types:?}");
    }
    for entry in chaski_providers_vector_io::ALL {
        assert!(types.contains(&entry.spec.provider_type), "{types:?}");
    }
    for entry in chaski_providers_tools::ALL {
        assert!(types.contains(&entry.spec.provider_type), "{types:?}");
    }
    let shown = place.run(&["stack", "list-providers", "inference"]).succeeded().out;
    assert_eq!(shown.lines().count(), chaski_providers_inference::ALL.len() + 1);
    assert!(shown.contains("remote::vllm"), "{shown}");
}

#[test]
fn an_unknown_api_is_answered_with_the_known_ones() {
    let ran = Place::new().run(&["list-providers", "bogus"]);
    assert_eq!(ran.code, Some(2));
    for api in chaski_api::Api::PROVIDABLE {
        assert!(ran.err.contains(api.as_str()), "{}", ran.err);
    }
}

#[test]
fn the_templates_are_listed_with_what_they_are() {
    let place = Place::new();
    let listed = place.run(&["list-templates", "--json"]).succeeded().json();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed[0]["name"], "starter");
    assert!(listed.iter().all(|one| !one["description"].as_str().unwrap().is_empty()));
    let shown = place.run(&["list-templates"]).succeeded().out;
    assert_eq!(shown.lines().count(), listed.len() + 1);
}
