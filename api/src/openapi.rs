//! The OpenAPI 3.1 document, made from the table of routes. The shapes of bodies are written by
//! hand in `openapi/schemas.json`; a test holds them against what the routes name.

use serde_json::{Map, Value, json};

use crate::access::{Access, permission_word};
use crate::routes::{self, Route};

const SCHEMAS: &str = include_str!("openapi/schemas.json");

/// The document; `version` is Keng's.
#[must_use]
pub fn document(version: &str) -> Value {
    let mut paths = Map::new();
    for route in routes::table() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(operations) = path {
            operations.insert(route.method.to_lowercase(), operation(&route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Keng",
            "version": version,
            "description": "Security logs in, attacks recognised, people called, everything searchable.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-keng"},
            },
        },
    })
}

fn schemas() -> Value {
    // A test reads the file; a mistake in it does not reach a release.
    serde_json::from_str(SCHEMAS).unwrap_or_default()
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "responses": responses(route),
        "security": security(route.access),
    });
    let Value::Object(fields) = &mut operation else { return operation };
    if let Access::Needs(permission) | Access::OpenOnLoopback(permission) = route.access {
        fields.insert("x-permission".into(), permission_word(permission).into());
    }
    let parameters = parameters(route);
    if !parameters.is_empty() {
        fields.insert("parameters".into(), parameters.into());
    }
    if let Some(takes) = route.takes {
        let body = json!({"required": route.needs_body, "content": content(takes)});
        fields.insert("requestBody".into(), body);
    }
    operation
}

/// `post_api_v1_alerts_id_ack`.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric());
    let path: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let path = if path.is_empty() { "page".to_owned() } else { path.join("_") };
    format!("{}_{path}", route.method.to_lowercase())
}

fn security(access: Access) -> Value {
    match access {
        Access::Open => json!([]),
        Access::OpenOnLoopback(_) => json!([{}, {"token": []}]),
        Access::SignedIn | Access::Needs(_) => json!([{"token": []}, {"session": []}]),
    }
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('{').skip(1).filter_map(|part| part.split('}').next());
    let string = json!({"type": "string"});
    let in_path =
        in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": string}));
    let in_query =
        route.query.iter().map(|name| json!({"name": name, "in": "query", "schema": string}));
    in_path.chain(in_query).collect()
}

fn responses(route: &Route) -> Value {
    let problem = json!({
        "description": "Why not",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    });
    let success = match route.gives {
        Some(gives) => json!({"description": "Done", "content": content(gives)}),
        None => json!({"description": "Done"}),
    };
    json!({route.status.to_string(): success, "default": problem})
}

/// A media type stands for itself, anything else names a schema of JSON.
fn content(what: &str) -> Value {
    if what.contains('/') {
        return json!({what: {"schema": {"type": "string"}}});
    }
    let schema = format!("#/components/schemas/{what}");
    json!({"application/json": {"schema": {"$ref": schema}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document is a promise to programs: a change here is a change for them.
    #[test]
    fn the_document_is_as_published() {
        insta::assert_json_snapshot!(document("0.0.0"));
    }

    #[test]
    fn every_schema_is_there_and_used() {
        let schemas: Map<String, Value> = serde_json::from_str(SCHEMAS).unwrap();
        let text = serde_json::to_string(&document("0.0.0")).unwrap();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "no schema '{name}'");
        }
        for name in schemas.keys() {
            assert!(text.contains(&format!("#/components/schemas/{name}\"")), "'{name}' is unused");
        }
    }

    #[test]
    fn operation_ids_are_unique() {
        let mut ids: Vec<String> = routes::table().iter().map(operation_id).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
