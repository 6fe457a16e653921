//! What is read as attributes, what is not, and what patches make of them.

use super::*;

fn attributes(text: &str) -> Attributes {
    Attributes::parse(text).unwrap_or_else(|error| panic!("{text} is attributes: {error}"))
}

fn merged(text: &str, patch: &str) -> String {
    let patch = MergePatch::parse(patch).unwrap();
    attributes(text).merged(&patch).unwrap().as_json().to_owned()
}

#[test]
fn attributes_are_written_in_one_way_and_numbers_stay_as_they_came() {
    let cases = [
        (" { } ", "{}"),
        (
            "{\"b\" : 1 ,\n\"a\":[ 1.50, null ,{\"y\":true, \"x\":\"\"} ]}",
            r#"{"a":[1.50,null,{"x":"","y":true}],"b":1}"#,
        ),
        (
            r#"{"n":12345678901234567890123,"e":1e400,"z":-0}"#,
            r#"{"e":1e400,"n":12345678901234567890123,"z":-0}"#,
        ),
        (r#"{"\u0061":"\u00fc\/"}"#, r#"{"a":"ü/"}"#),
        (r#"{"$serde_json::private::RawValue":"{"}"#, r#"{"$serde_json::private::RawValue":"{"}"#),
    ];
    for (text, written) in cases {
        assert_eq!(attributes(text).as_json(), written);
    }
    assert!(Attributes::default().is_empty() && !attributes(r#"{"a":null}"#).is_empty());
}

#[test]
fn what_is_no_object_with_each_name_once_is_not_understood() {
    let refused = |text: &str| Attributes::parse(text).unwrap_err().to_string();
    for text in ["[]", "7", "\"a\"", "null", " [{}]"] {
        assert!(refused(text).contains("it is JSON, and no object"), "{text}");
    }
    for text in
        ["", "{", "{}x", "{a:1}", r#"{"a":}"#, r#"{"a":1,}"#, "x", "{\"a\":\"\u{1}\"}", r#"{"a":"\ud800"}"#]
    {
        assert!(matches!(Attributes::parse(text), Err(BadAttributes::NotUnderstood { .. })), "{text}");
    }
    for text in [r#"{"a":1,"a":2}"#, r#"{"b":{"a":1,"\u0061":2}}"#, r#"{"b":[{"a":1,"a":1}]}"#] {
        assert!(refused(text).contains("the name \"a\" is there twice"), "{text}");
        assert!(MergePatch::parse(text).is_err(), "{text}");
    }
}

#[test]
fn the_bounds_are_inclusive() {
    let long = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
    let max = limits::ATTRIBUTES_BYTES_MAX;
    assert_eq!(attributes(&long(max)).as_json().len(), max);
    assert_eq!(Attributes::parse(&long(max + 1)), Err(BadAttributes::TooLarge { len: max + 1 }));
    assert_eq!(MergePatch::parse(&long(max + 1)), Err(BadAttributes::TooLarge { len: max + 1 }));
    let patch = MergePatch::parse(r#"{"b":1}"#).unwrap();
    assert!(matches!(attributes(&long(max)).merged(&patch), Err(BadAttributes::TooLarge { .. })));
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep =
            |levels: usize| format!(r#"{{"a":{}1{}}}"#, open.repeat(levels - 1), close.repeat(levels - 1));
        assert!(Attributes::parse(&deep(limits::ATTRIBUTES_DEPTH_MAX)).is_ok());
        assert_eq!(Attributes::parse(&deep(limits::ATTRIBUTES_DEPTH_MAX + 1)), Err(BadAttributes::TooDeep));
    }
    let deepest = format!("{{\"a\":{}", "[".repeat(2_000));
    assert!(Attributes::parse(&deepest).is_err(), "no stack is needed for it");
}

#[test]
fn a_patch_is_merged_as_rfc_7396_has_it() {
    // The examples of its appendix whose target and result are objects.
    let cases = [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        (r#"{"a":1}"#, r#"{"a":{"b":[null]}}"#, r#"{"a":{"b":[null]}}"#),
        (r#"{"a":1}"#, "{}", r#"{"a":1}"#),
    ];
    for (target, patch, result) in cases {
        assert_eq!(merged(target, patch), result, "{target} with {patch}");
    }
}

#[test]
fn a_login_stands_beside_the_attributes_and_is_told_apart_from_them() {
    let login = LoginId::new("s\"1").unwrap();
    let shown = attributes(r#"{"a":1,"z":2}"#).with_login(&login);
    assert_eq!(shown.as_json(), r#"{"a":1,"sid":"s\"1","z":2}"#);
    let (rest, said) = shown.without_login();
    assert_eq!(rest, attributes(r#"{"a":1,"z":2}"#));
    let said = said.unwrap();
    assert!(said.is(Some(&login)) && !said.is(LoginId::new("s1").ok().as_ref()) && !said.is(None));
    let patch = |text: &str| MergePatch::parse(text).unwrap().without_login();
    assert_eq!(patch(r#"{"a":1}"#).1, None);
    for other in ["null", "7", "{}", "\"x\""] {
        assert!(!patch(&format!("{{\"sid\":{other}}}")).1.unwrap().is(Some(&login)), "{other}");
    }
}

#[test]
fn in_json_they_are_an_object() {
    let held = attributes(r#"{"a":[1.50]}"#);
    assert_eq!(serde_json::to_string(&vec![&held]).unwrap(), r#"[{"a":[1.50]}]"#);
    assert_eq!(
        serde_json::from_str::<Attributes>(r#"{"a": {"b":"c"}}"#).unwrap(),
        attributes(r#"{"a":{"b":"c"}}"#)
    );
    assert!(serde_json::from_str::<Attributes>("[1]").is_err());
}
