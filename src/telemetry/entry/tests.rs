use super::escape::is_plain;
use super::level::UnknownLevel;
use super::*;
use proptest::prelude::*;
use std::time::UNIX_EPOCH;

fn line(format: &Format, fields: impl FnOnce(&mut Entry<'_>)) -> String {
    let mut out = Vec::new();
    let time = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut entry = format.begin(&mut out, "couper_test", Level::Info, time, b"hello \"you\"");
    fields(&mut entry);
    entry.finish();
    String::from_utf8(out).unwrap()
}

fn format(layout: Layout) -> Format {
    Format {
        build: "b1".into(),
        version: "1.2".into(),
        ..Format::new(layout)
    }
}

fn sample(entry: &mut Entry<'_>) {
    entry.begin_object("request");
    entry.string("method", b"GET");
    entry.joined("accept", [&b"a"[..], b"b\n"].into_iter());
    entry.begin_object("headers");
    entry.end();
    entry.end();
    entry.begin_list("list");
    entry.number("", 1);
    entry.string("", b"two");
    entry.end();
    entry.milliseconds("total", Duration::from_micros(1_050));
    entry.float("share", 0.25);
    entry.bool("tls", false);
    entry.raw_json("custom", b"{\"a\":\n[1]}");
}

#[test]
fn plain_is_printable_ascii_but_quote_and_backslash() {
    for byte in 0..=255_u8 {
        let plain = (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
        for at in [0, 3, 7, 8, 12] {
            let mut text = [b'x'; 13];
            text[at] = byte;
            assert_eq!(is_plain(&text), plain, "{byte} at {at}");
        }
    }
}

#[test]
fn json_layout() {
    assert_eq!(
        line(&format(Layout::Json), sample),
        concat!(
            r#"{"timestamp":"2023-11-14T22:13:20Z","level":"info","message":"hello \"you\"","#,
            r#""type":"couper_test","build":"b1","version":"1.2","#,
            r#""request":{"method":"GET","accept":"a|b\n","headers":{}},"list":[1,"two"],"#,
            r#""total":1.050,"share":0.250,"tls":false,"custom":{"a": [1]}}"#,
            "\n"
        )
    );
}

#[test]
fn common_layout() {
    assert_eq!(
        line(&format(Layout::Common), sample),
        concat!(
            r#"time="2023-11-14T22:13:20Z" level=info msg="hello \"you\"" type=couper_test "#,
            r#"build=b1 version=1.2 request.method=GET request.accept="a|b\n" list.item=1 "#,
            r#"list.item=two total=1.050 share=0.250 tls=false custom="{\"a\":\n[1]}""#,
            "\n"
        )
    );
}

#[test]
fn pretty_layout_holds_the_same_value() {
    let pretty = line(&format(Layout::PrettyJson), sample);
    assert!(
        pretty.contains("\n  \"request\": {\n    \"method\": \"GET\""),
        "{pretty}"
    );
    let plain = line(&format(Layout::Json), sample);
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(parse(&pretty), parse(&plain));
}

#[test]
fn parent_field_holds_everything_but_time_level_and_message() {
    let format = Format {
        parent_field: Some("couper".into()),
        ..format(Layout::Json)
    };
    let value: serde_json::Value = serde_json::from_str(&line(&format, sample)).unwrap();
    assert_eq!(value["level"], "info");
    assert_eq!(value["couper"]["type"], "couper_test");
    assert_eq!(value["couper"]["request"]["method"], "GET");
    assert_eq!(value.as_object().unwrap().len(), 4);
}

#[test]
fn long_values_are_cut_and_long_lines_lose_fields() {
    let text = line(&format(Layout::Json), |entry| {
        entry.begin_object("o");
        for _ in 0..100 {
            entry.string("k", &[b'x'; 5000]);
        }
    });
    assert!(text.len() <= LINE_LIMIT);
    assert!(text.contains("x…\""));
    assert!(text.ends_with(",\"truncated\":true}\n"));
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
}

#[test]
fn levels_have_names() {
    assert_eq!("WARN".parse(), Ok(Level::Warning));
    assert_eq!("warning".parse(), Ok(Level::Warning));
    assert_eq!("verbose".parse::<Level>(), Err(UnknownLevel));
    assert!(Level::Error < Level::Info);
}

#[derive(Clone, Debug)]
enum Step {
    Text(String, Vec<u8>),
    Raw(String, Vec<u8>),
    Joined(Vec<Vec<u8>>),
    Object(String),
    List(String),
    End,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..1500);
    prop::collection::vec(
        prop_oneof![
            4 => (".*", bytes()).prop_map(|(k, v)| Step::Text(k, v)),
            1 => ("[a-z]*", bytes()).prop_map(|(k, v)| Step::Raw(k, v)),
            1 => prop::collection::vec(bytes(), 0..4).prop_map(Step::Joined),
            2 => ".*".prop_map(Step::Object),
            1 => ".*".prop_map(Step::List),
            2 => Just(Step::End),
        ],
        0..40,
    )
}

proptest! {
    #[test]
    fn any_input_makes_one_sound_line(steps in steps(), parent in any::<bool>()) {
        for layout in [Layout::Json, Layout::Common, Layout::PrettyJson] {
            let parent_field = parent.then(|| "parent".into());
            let format = Format { parent_field, ..format(layout) };
            let text = line(&format, |entry| {
                for step in &steps {
                    match step {
                        Step::Text(key, value) => entry.string(key, value),
                        Step::Raw(key, value) => entry.raw_json(key, value),
                        Step::Joined(values) => {
                            entry.joined("j", values.iter().map(Vec::as_slice));
                        }
                        Step::Object(key) => entry.begin_object(key),
                        Step::List(key) => entry.begin_list(key),
                        Step::End => entry.end(),
                    }
                }
            });
            prop_assert!(text.len() <= LINE_LIMIT);
            let body = text.strip_suffix('\n').unwrap();
            if layout != Layout::PrettyJson {
                prop_assert!(!body.chars().any(char::is_control));
            }
            if layout != Layout::Common {
                let value = serde_json::from_str::<serde_json::Value>(&text);
                prop_assert!(value.is_ok(), "{text}");
            }
        }
    }
}
