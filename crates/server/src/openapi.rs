//! The `OpenAPI` 3.1 document, made from the declared endpoints.

use chaski_api::{Described, Face, Method, Schemas, endpoints};
use serde_json::{Map, Value, json};

const PREFIX: &str = "#/components/schemas/";

/// The document of everything that the server declares.
pub(crate) fn document(version: &str, secured: bool) -> Value {
    let mut schemas = Schemas::with_prefix(PREFIX);
    let mut paths = Map::new();
    for (group, endpoints) in endpoints::GROUPS {
        for endpoint in *endpoints {
            let path = endpoint.spec.path.replace(":path}", "}");
            let operation = operation(group, endpoint, &mut schemas);
            let item = paths.entry(path).or_insert_with(|| json!({}));
            item[endpoint.spec.method.as_str().to_lowercase()] = operation;
        }
    }
    let mut components = json!({ "schemas": schemas.into_named() });
    for (name, schema) in error_schemas() {
        components["schemas"][name] = schema;
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Chaski",
            "summary": "The Llama Stack API, and those of OpenAI and Anthropic for inference.",
            "version": version,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": components,
    });
    if secured {
        document["components"]["securitySchemes"] =
            json!({ "bearer": { "type": "http", "scheme": "bearer" } });
        document["security"] = json!([{ "bearer": [] }]);
    }
    document
}

fn operation(group: &str, endpoint: &Described, schemas: &mut Schemas) -> Value {
    let spec = &endpoint.spec;
    let mut operation = json!({
        "operationId": format!("{}_{}", spec.api, spec.operation),
        "tags": [if endpoint.types.is_some() { group } else { spec.api.as_str() }],
        "summary": spec.summary,
    });
    if spec.public {
        operation["security"] = json!([]);
    }
    let Some(types) = endpoint.types else {
        operation["summary"] = "Not served by this build yet.".into();
        operation["responses"] = json!({ "501": failure("No provider.", spec.face) });
        return operation;
    };
    let reference = (types.request)(schemas);
    let request = schemas.resolve(&reference).clone();
    let in_path: Vec<&str> = spec.parameters().collect();
    let mut parameters: Vec<Value> =
        in_path.iter().map(|name| parameter(name, "path", &request, true)).collect();
    if spec.method == Method::Post {
        operation["requestBody"] = json!({
            "required": true,
            "content": { spec.takes.media_type(): { "schema": reference } },
        });
    } else if let Some(properties) = request["properties"].as_object() {
        let required = |name: &str| {
            request["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name))
        };
        let in_query = properties.keys().filter(|name| !in_path.contains(&name.as_str()));
        parameters.extend(in_query.map(|name| parameter(name, "query", &request, required(name))));
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    let mut content = json!({ spec.gives.media_type(): { "schema": (types.response)(schemas) } });
    if spec.streams {
        content["text/event-stream"] = json!({ "schema": (types.event)(schemas) });
    }
    operation["responses"] = json!({
        "200": { "description": "The answer.", "content": content },
        "400": failure("The request cannot be served as it stands.", spec.face),
        "500": failure("A fault of the server.", spec.face),
        "503": failure("Cannot be served now.", spec.face),
    });
    if !spec.public {
        operation["responses"]["401"] = failure("Credentials are missing or wrong.", spec.face);
    }
    operation
}

fn parameter(name: &str, place: &str, request: &Value, required: bool) -> Value {
    let mut schema = request["properties"][name].clone();
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    json!({
        "name": name,
        "in": place,
        "required": required,
        "description": description,
        "schema": schema,
    })
}

fn failure(description: &str, face: Face) -> Value {
    let schema = match face {
        Face::LlamaStack => "LlamaStackError",
        Face::OpenAi => "OpenAiError",
        Face::Anthropic => "AnthropicError",
    };
    json!({
        "description": description,
        "content": { "application/json": { "schema": { "$ref": format!("{PREFIX}{schema}") } } },
    })
}

fn error_schemas() -> [(&'static str, Value); 3] {
    let text = json!({ "type": "string" });
    let optional = json!({ "type": ["string", "null"] });
    let issue = json!({
        "type": "object",
        "properties": {
            "loc": { "type": "array", "items": { "type": ["string", "integer"] } },
            "msg": text,
            "type": text,
        },
    });
    [
        (
            "LlamaStackError",
            json!({
                "description": "`detail` for most failures, `error` for a request that does not have the declared form.",
                "type": "object",
                "properties": {
                    "detail": text,
                    "error": {
                        "type": "object",
                        "properties": {
                            "message": text,
                            "detail": {
                                "type": "object",
                                "properties": { "errors": { "type": "array", "items": issue } },
                            },
                        },
                    },
                },
            }),
        ),
        (
            "OpenAiError",
            json!({
                "description": "OpenAI's error envelope.",
                "type": "object",
                "properties": { "error": {
                    "type": "object",
                    "properties": {
                        "message": text, "type": text, "param": optional, "code": optional,
                    },
                } },
                "required": ["error"],
            }),
        ),
        (
            "AnthropicError",
            json!({
                "description": "Anthropic's error envelope.",
                "type": "object",
                "properties": {
                    "type": { "const": "error" },
                    "error": {
                        "type": "object",
                        "properties": { "type": text, "message": text },
                    },
                    "request_id": text,
                },
                "required": ["type", "error"],
            }),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_in_the_document() {
        let document = document("0.1.7", true);
        for endpoint in endpoints::all() {
            let path = endpoint.spec.path.replace(":path}", "}");
            let method = endpoint.spec.method.as_str().to_lowercase();
            assert!(document["paths"][&path][&method].is_object(), "{method} {path} is missing");
        }
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        let document = document("0.1.7", false);
        let text = document.to_string();
        for rest in text.split(r##""$ref":"#/components/schemas/"##).skip(1) {
            let name = rest.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name} is missing");
        }
    }

    #[test]
    fn path_parameters_are_declared_and_operations_are_unique() {
        let document = document("0.1.7", false);
        let model = &document["paths"]["/v1/models/{model_id}"]["get"];
        assert_eq!(model["parameters"][0]["in"], "path");
        let mut seen = std::collections::HashSet::new();
        for item in document["paths"].as_object().unwrap().values() {
            for operation in item.as_object().unwrap().values() {
                let id = operation["operationId"].as_str().unwrap();
                assert!(seen.insert(id.to_owned()), "{id} is used twice");
            }
        }
    }
}
