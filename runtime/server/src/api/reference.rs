//! The API's document, as a program reads it and as a person does. The page is written by the server, has no script, and asks
//! no other host for anything.

use std::fmt::Write as _;

use axum::Extension;
use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa::openapi::OpenApi;

use super::schema::FreeObject;

/// The document in both its forms; made once.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    json: Bytes,
    html: Bytes,
}

impl Reference {
    pub(super) fn new(document: &OpenApi) -> Self {
        let value = serde_json::to_value(document).unwrap_or_default();
        Self {
            json: value.to_string().into(),
            html: page(&value).into(),
        }
    }
}

/// Read this document
///
/// OpenAPI 3.1.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "Reference", operation_id = "readDocument", security(),
    responses((status = 200, description = "OpenAPI 3.1.", body = FreeObject)))]
pub(super) async fn document(Extension(reference): Extension<Reference>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], reference.json).into_response()
}

/// Read this document as a page
#[utoipa::path(get, path = "/api/v1/docs", tag = "Reference", operation_id = "readReference", security(),
    responses((status = 200, description = "HTML.", content_type = "text/html", body = String)))]
pub(super) async fn reference(Extension(reference): Extension<Reference>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, reference.html).into_response()
}

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1rem}\
nav{columns:18rem}nav ul{list-style:none;margin:0 0 1rem;padding:0;break-inside:avoid}\
code,.path{font-family:ui-monospace,monospace;font-size:.9em;overflow-wrap:anywhere}\
.method{display:inline-block;min-width:4.5em;font-weight:700}\
section{border-top:1px solid #8886;margin-top:1.5rem;padding-top:.5rem}\
table{border-collapse:collapse;width:100%}td,th{border-top:1px solid #8884;padding:.3rem .5rem;text-align:left;vertical-align:top}\
.required{font-weight:700}";

/// The page about a document.
fn page(document: &Value) -> String {
    let mut html = String::new();
    let title = escaped(text(&document["info"]["title"]));
    put(
        &mut html,
        format_args!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width,initial-scale=1\"><title>{title} API</title><style>{STYLE}</style></head><body>\
             <h1>{title} API {}</h1><p>{}</p><p>The same for programs: <a href=\"openapi.json\">openapi.json</a>.</p>",
            escaped(text(&document["info"]["version"])),
            escaped(text(&document["info"]["description"])),
        ),
    );
    let tags = document["tags"].as_array().map_or(&[][..], Vec::as_slice);
    html.push_str("<nav aria-label=\"Operations\">");
    for tag in tags {
        let name = text(&tag["name"]);
        put(
            &mut html,
            format_args!("<ul><li><strong>{}</strong></li>", escaped(name)),
        );
        for (_, _, operation) in operations(document, name) {
            let (id, summary) = (text(&operation["operationId"]), text(&operation["summary"]));
            put(
                &mut html,
                format_args!("<li><a href=\"#{}\">{}</a></li>", escaped(id), escaped(summary)),
            );
        }
        html.push_str("</ul>");
    }
    html.push_str("</nav><main>");
    for tag in tags {
        let name = text(&tag["name"]);
        put(
            &mut html,
            format_args!(
                "<h2>{}</h2><p>{}</p>",
                escaped(name),
                escaped(text(&tag["description"]))
            ),
        );
        for (method, path, operation) in operations(document, name) {
            put_operation(&mut html, method, path, operation);
        }
    }
    html.push_str("<h2>Schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let name = escaped(name);
        put(&mut html, format_args!("<section id=\"schema-{name}\"><h3>{name}</h3>"));
        put_schema(&mut html, schema);
        html.push_str("</section>");
    }
    html.push_str("</main></body></html>");
    html
}

/// The operations of a section, in the order of their paths.
fn operations<'a>(document: &'a Value, tag: &'a str) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(move |(path, item)| {
        item.as_object()
            .into_iter()
            .flatten()
            .filter(move |(_, operation)| operation["tags"][0] == tag)
            .map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    })
}

fn put_operation(html: &mut String, method: &str, path: &str, operation: &Value) {
    put(
        html,
        format_args!(
            "<section id=\"{}\"><h3>{}</h3><p class=\"path\"><span class=\"method\">{}</span> {}</p>",
            escaped(text(&operation["operationId"])),
            escaped(text(&operation["summary"])),
            escaped(&method.to_ascii_uppercase()),
            escaped(path),
        ),
    );
    if let Some(description) = operation["description"].as_str() {
        put(html, format_args!("<p>{}</p>", escaped(description)));
    }
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    if !parameters.is_empty() {
        html.push_str("<table><thead><tr><th>parameter</th><th>in</th><th>type</th><th></th></tr></thead><tbody>");
        for parameter in parameters {
            put(
                html,
                format_args!(
                    "<tr><td><code{}>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
                    required(parameter["required"] == true),
                    escaped(text(&parameter["name"])),
                    escaped(text(&parameter["in"])),
                    kind(&parameter["schema"]),
                    escaped(text(&parameter["description"])),
                ),
            );
        }
        html.push_str("</tbody></table>");
    }
    for (media, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        put(
            html,
            format_args!(
                "<p>Body: <code>{}</code>, {}</p>",
                escaped(media),
                kind(&content["schema"])
            ),
        );
    }
    let mut refusals = Vec::new();
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        if response.get("$ref").is_some() {
            refusals.push(status.as_str());
            continue;
        }
        put(
            html,
            format_args!("<p>{}: {}", escaped(status), escaped(text(&response["description"]))),
        );
        for (media, content) in response["content"].as_object().into_iter().flatten() {
            put(
                html,
                format_args!(" <code>{}</code>, {}", escaped(media), kind(&content["schema"])),
            );
        }
        html.push_str("</p>");
    }
    if !refusals.is_empty() {
        put(
            html,
            format_args!(
                "<p>Refusals: {}, each a <a href=\"#schema-Problem\">Problem</a>.</p>",
                refusals.join(", ")
            ),
        );
    }
    html.push_str("</section>");
}

fn put_schema(html: &mut String, schema: &Value) {
    if let Some(description) = schema["description"].as_str() {
        put(html, format_args!("<p>{}</p>", escaped(description)));
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        put(html, format_args!("<p>{}, and:</p>", kind(part)));
        put_properties(html, part);
    }
    put_properties(html, schema);
    if schema.get("properties").is_none() && schema.get("allOf").is_none() {
        put(html, format_args!("<p>{}</p>", kind(schema)));
    }
}

fn put_properties(html: &mut String, schema: &Value) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    let needed = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
    html.push_str("<table><tbody>");
    for (name, property) in properties {
        put(
            html,
            format_args!(
                "<tr><td><code{}>{}</code></td><td>{}</td><td>{}</td></tr>",
                required(needed.iter().any(|needed| needed == name)),
                escaped(name),
                kind(property),
                escaped(text(&property["description"])),
            ),
        );
    }
    html.push_str("</tbody></table>");
}

fn required(yes: bool) -> &'static str {
    if yes {
        " class=\"required\" title=\"required\""
    } else {
        ""
    }
}

/// The type of a schema in a few words; a named one is a link.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = escaped(reference.rsplit('/').next().unwrap_or_default());
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    if let Some(choices) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    if let Some(values) = schema["enum"].as_array() {
        let values = values
            .iter()
            .map(|value| format!("<code>{}</code>", escaped(&value.to_string())));
        return values.collect::<Vec<_>>().join(", ");
    }
    let mut words = match &schema["type"] {
        Value::String(name) => escaped(name),
        Value::Array(names) => names
            .iter()
            .map(|name| escaped(text(name)))
            .collect::<Vec<_>>()
            .join(" or "),
        _ => "anything".to_owned(),
    };
    if schema.get("items").is_some() {
        words = format!("list of {}", kind(&schema["items"]));
    }
    for (member, before) in [
        ("format", ""),
        ("minimum", "≥ "),
        ("maximum", "≤ "),
        ("minLength", "characters ≥ "),
        ("maxLength", "characters ≤ "),
        ("default", "default "),
    ] {
        match &schema[member] {
            Value::Null => {}
            Value::String(value) => put(&mut words, format_args!(", {before}{}", escaped(value))),
            value => put(&mut words, format_args!(", {before}{}", escaped(&value.to_string()))),
        }
    }
    words
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            char => escaped.push(char),
        }
    }
    escaped
}

fn put(html: &mut String, arguments: std::fmt::Arguments<'_>) {
    html.write_fmt(arguments).expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_document_says_stays_text() {
        let document = serde_json::json!({
            "info": { "title": "<b>T</b>", "version": "1", "description": "\"quoted\"" },
            "tags": [{ "name": "A&B", "description": "" }],
            "paths": { "/x": { "get": { "tags": ["A&B"], "operationId": "x", "summary": "<script>" } } },
        });
        let page = page(&document);
        assert!(!page.contains("<script>") && !page.contains("<b>T"), "{page}");
        assert!(page.contains("&lt;script&gt;") && page.contains("A&amp;B"), "{page}");
    }
}
