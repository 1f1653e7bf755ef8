use super::*;
use http::{HeaderName, HeaderValue};
use std::collections::HashMap;

fn load(files: &[(&str, &str)]) -> Result<OpenApi, Fault> {
    let files: HashMap<&str, &str> = files.iter().copied().collect();
    OpenApi::load(Path::new("api.yaml"), &mut |path| {
        let name = path.to_str().unwrap();
        let text = files.get(name).ok_or("no such file")?;
        Ok(text.as_bytes().to_vec())
    })
}

/// A document of one path with these members.
fn document(version: &str, path: &str, members: &str) -> OpenApi {
    let text = format!("openapi: {version}\npaths:\n  {path}:\n{members}");
    load(&[("api.yaml", &text)]).unwrap()
}

fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &'static str)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    list.iter().map(field).collect()
}

fn request(api: &OpenApi, method: &Method, target: &str, fields: &HeaderMap, body: &str) -> String {
    let bytes = Bytes::from(body.to_owned());
    let (_, findings) = api.check_request(&SentRequest {
        method,
        origin: "http://origin.example",
        target,
        headers: fields,
        body: Some(&bytes),
    });
    findings.join("; ")
}

fn get(api: &OpenApi, target: &str) -> String {
    request(api, &Method::GET, target, &HeaderMap::new(), "")
}

#[test]
fn parameters_are_read_as_they_are_written() {
    let list = "schema: {type: array, items: {type: integer}, maxItems: 2}";
    let object = "schema: {type: object, required: [a], properties: {a: {type: integer}, b: {type: string}}}";
    for (place, style, schema, good, bad) in [
        (
            "query",
            "form, explode: true",
            list,
            "/?p=1&p=2",
            "/?p=1&p=x",
        ),
        (
            "query",
            "form, explode: false",
            list,
            "/?p=1,2",
            "/?p=1,2,3",
        ),
        (
            "query",
            "spaceDelimited, explode: false",
            list,
            "/?p=1%202",
            "/?p=1%202%203",
        ),
        (
            "query",
            "pipeDelimited, explode: false",
            list,
            "/?p=1|2",
            "/?p=1|x",
        ),
        ("query", "deepObject", object, "/?p[a]=1&p[b]=2", "/?p[b]=2"),
        ("query", "form, explode: true", object, "/?a=1", "/?b=1"),
        (
            "query",
            "form, explode: false",
            object,
            "/?p=a,1,b,x",
            "/?p=b,x",
        ),
    ] {
        let api = document(
            "3.0.3",
            "/",
            &format!(
                "    get:\n      parameters:\n        - {{name: p, in: {place}, style: {style}, {schema}}}\n"
            ),
        );
        assert_eq!(get(&api, good), "", "{style} {good}");
        assert_ne!(get(&api, bad), "", "{style} {bad}");
        assert_eq!(get(&api, "/"), "", "{style} is optional");
    }
    for (style, schema, good, bad) in [
        ("simple", list, "/1,2", "/1,x"),
        ("label", list, "/.1,2", "/.x"),
        ("label, explode: true", list, "/.1.2", "/.1.2.3"),
        ("matrix", list, "/;p=1,2", "/;p=x"),
        ("matrix, explode: true", list, "/;p=1;p=2", "/;p=1;p=x"),
        ("simple", object, "/a,1", "/b,1"),
        ("simple, explode: true", object, "/a=1,b=x", "/a=x"),
    ] {
        let api = document(
            "3.1.0",
            "/{p}",
            &format!(
                "    get:\n      parameters:\n        - {{name: p, in: path, required: true, style: {style}, {schema}}}\n"
            ),
        );
        assert_eq!(get(&api, good), "", "{style} {good}");
        assert_ne!(get(&api, bad), "", "{style} {bad}");
    }
}

#[test]
fn words_of_3_0_keep_their_meaning() {
    let check = |schema: &str, value: &str| {
        let api = document(
            "3.0.0",
            "/",
            &format!(
                "    post:\n      requestBody:\n        content: {{application/json: {{schema: {schema}}}}}\n"
            ),
        );
        let fields = headers(&[("content-type", "application/json; charset=utf-8")]);
        request(&api, &Method::POST, "/", &fields, value)
    };
    for (schema, value, good) in [
        (
            "{type: number, minimum: 3, exclusiveMinimum: true}",
            "3",
            false,
        ),
        (
            "{type: number, minimum: 3, exclusiveMinimum: true}",
            "3.5",
            true,
        ),
        (
            "{type: number, minimum: 3, exclusiveMinimum: false}",
            "3",
            true,
        ),
        (
            "{type: number, maximum: 3, exclusiveMaximum: true}",
            "3",
            false,
        ),
        ("{type: string, nullable: true}", "null", true),
        ("{type: string}", "null", false),
        ("{type: string, enum: [a], nullable: true}", "null", true),
        ("{type: string, enum: [a], nullable: true}", "\"b\"", false),
        ("{nullable: true, allOf: [{type: object}]}", "null", true),
        ("{nullable: true, allOf: [{type: object}]}", "3", false),
        ("{type: integer, format: int32}", "2147483648", false),
        ("{type: string, format: byte}", "\"YQ==\"", true),
        ("{type: string, format: byte}", "\"?\"", false),
        ("{type: string, format: uuid}", "\"x\"", false),
        (
            "{type: object, required: [id], properties: {id: {type: integer, readOnly: true}}}",
            "{}",
            true,
        ),
        (
            "{type: object, required: [id], properties: {id: {type: integer, writeOnly: true}}}",
            "{}",
            false,
        ),
        // Names of members are no words of the language.
        (
            "{type: object, properties: {nullable: {type: integer}, enum: {type: string, nullable: true}}}",
            "{\"enum\": null, \"nullable\": 1}",
            true,
        ),
    ] {
        let found = check(schema, value);
        assert_eq!(found.is_empty(), good, "{schema} {value}: {found}");
    }
}

#[test]
fn servers_and_paths_are_matched() {
    let paths = "paths:\n  /a/{x}: {get: {}}\n  /a/b: {get: {}, post: {}}\n  /a/{x}.json: {get: {}}\n  /other:\n    servers: [{url: /v2}]\n    get: {}\n";
    let api = |servers: &str| {
        let text = format!("openapi: 3.0.0\nservers: {servers}\n{paths}");
        load(&[("api.yaml", &text)]).unwrap()
    };
    let plain = api("[{url: /v1/}]");
    for (target, good) in [
        ("/v1/a/b", true),
        ("/v1/a/c?x=1", true),
        ("/v1/a/c.json", true),
        ("/v1/a/b/c", false),
        ("/a/b", false),
        ("/v2/other", true),
        ("/v1/other", false),
    ] {
        assert_eq!(get(&plain, target).is_empty(), good, "{target}");
    }
    let post = |target| request(&plain, &Method::POST, target, &HeaderMap::new(), "");
    assert_eq!(post("/v1/a/b"), "");
    assert!(post("/v1/a/c").contains("method POST"));
    for (servers, good) in [
        ("[{url: 'http://origin.example'}]", true),
        ("[{url: 'http://origin.example:80/'}]", true),
        ("[{url: 'https://origin.example'}]", false),
        ("[{url: 'http://elsewhere.example'}]", false),
        (
            "[{url: 'http://elsewhere.example'}, {url: '{s}://origin.example', variables: {s: {enum: [http], default: http}}}]",
            true,
        ),
        ("[]", true),
    ] {
        assert_eq!(get(&api(servers), "/a/b").is_empty(), good, "{servers}");
    }
}

#[test]
fn responses_are_found_by_status_and_media_type() {
    let api = document(
        "3.1.0",
        "/",
        "    get:\n      responses:\n        200:\n          headers: {x-n: {required: true, schema: {type: integer}}}\n          content:\n            application/json: {schema: {type: [string, 'null']}}\n            text/*: {}\n        4XX: {}\n        404: {content: {text/plain: {schema: {type: string, maxLength: 3}}}}\n",
    );
    let (found, _) = api.check_request(&SentRequest {
        method: &Method::GET,
        origin: "http://origin.example",
        target: "/",
        headers: &HeaderMap::new(),
        body: None,
    });
    let check = |status: u16, fields: &[(&'static str, &'static str)], body: &str| {
        let response = ReceivedResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &headers(fields),
            body: &Bytes::from(body.to_owned()),
        };
        api.check_response(found, &Method::GET, &response)
            .join("; ")
    };
    let json = ("content-type", "application/json");
    assert_eq!(check(200, &[json, ("x-n", "3")], "null"), "");
    assert!(check(200, &[json, ("x-n", "n")], "null").contains("x-n"));
    assert!(check(200, &[json], "null").contains("required"));
    assert!(check(200, &[json, ("x-n", "3")], "3").contains("response body"));
    assert_eq!(
        check(200, &[("content-type", "text/html"), ("x-n", "3")], "x"),
        ""
    );
    assert!(check(200, &[("content-type", "image/png"), ("x-n", "3")], "x").contains("media type"));
    assert_eq!(check(400, &[], ""), "");
    assert!(check(404, &[("content-type", "text/plain")], "long").contains("longer"));
    assert!(check(500, &[], "").contains("status 500"));
}

#[test]
fn forms_become_objects() {
    let api = document(
        "3.0.0",
        "/",
        "    post:\n      requestBody:\n        required: true\n        content:\n          application/x-www-form-urlencoded:\n            schema: {type: object, required: [n], properties: {n: {type: integer}, tags: {type: array, items: {type: string}, minItems: 1}}}\n",
    );
    let form = headers(&[("content-type", "application/x-www-form-urlencoded")]);
    let post = |body| request(&api, &Method::POST, "/", &form, body);
    assert_eq!(post("n=3&tags=a"), "");
    assert_eq!(post("n=3&tags=a&tags=b"), "");
    assert!(post("n=x").contains("/n"));
    assert!(post("tags=a").contains("\"n\""));
    assert!(post("").contains("required"));
}

#[test]
fn references_lead_through_files_and_circles_of_schemas() {
    let api = load(&[
        (
            "api.yaml",
            "openapi: 3.0.0\npaths:\n  /t: {$ref: 'paths/t.yaml'}\n",
        ),
        (
            "paths/t.yaml",
            "post:\n  requestBody:\n    content: {application/json: {schema: {$ref: '../tree.json#/Tree'}}}\n",
        ),
        (
            "tree.json",
            r##"{"Tree": {"type": "object", "required": ["n"], "additionalProperties": false,
                "properties": {"n": {"type": "integer", "nullable": true}, "next": {"$ref": "#/Tree"}}}}"##,
        ),
    ])
    .unwrap();
    let json = headers(&[("content-type", "application/json")]);
    let post = |body| request(&api, &Method::POST, "/t", &json, body);
    assert_eq!(
        post(r#"{"n": 1, "next": {"n": null, "next": {"n": 3}}}"#),
        ""
    );
    assert!(post(r#"{"n": 1, "next": {"n": 2, "next": {}}}"#).contains("/next/next"));
}

#[test]
fn findings_quote_no_value() {
    let api = document(
        "3.0.0",
        "/",
        "    get:\n      parameters: [{name: p, in: query, schema: {type: integer}}]\n",
    );
    let found = get(&api, "/?p=secret");
    assert!(!found.is_empty() && !found.contains("secret"), "{found}");
}

#[test]
fn faults_name_their_place() {
    for (text, place) in [
        ("openapi: 3.0.0\npaths: {/a: [}", "api.yaml"),
        ("swagger: '2.0'", "api.yaml"),
        ("openapi: 4.0.0", "api.yaml"),
        ("openapi: 3.0.0\npaths: {a: {}}", "#/paths/a"),
        (
            "openapi: 3.0.0\npaths: {/a: {$ref: 'http://x.example/a.yaml'}}",
            "api.yaml",
        ),
        ("openapi: 3.0.0\npaths: {/a: {$ref: 'b.yaml'}}", "b.yaml"),
        (
            "openapi: 3.0.0\npaths: {/a: {$ref: '#/nowhere'}}",
            "#/paths/~1a",
        ),
        (
            "openapi: 3.1.0\ncomponents: {schemas: {S: {type: strin}}}",
            "#/components/schemas/S/type",
        ),
        (
            "openapi: 3.1.0\ncomponents: {schemas: {S: {type: integer, exclusiveMinimum: true}}}",
            "#/components/schemas/S/exclusiveMinimum",
        ),
        (
            "openapi: 3.1.0\ncomponents: {schemas: {S: {items: {$ref: '#/x'}}}}",
            "#/components/schemas/S",
        ),
        (
            "openapi: 3.1.0\ncomponents: {schemas: {S: {pattern: '(['}}}",
            "#/components/schemas/S",
        ),
    ] {
        let fault = load(&[("api.yaml", text)]).unwrap_err();
        assert_eq!(fault.place, place, "{text}: {fault}");
    }
}
