//! A small, strict reader of the HTML that the report writes.

#![allow(dead_code)]

#[path = "../../examples/sample/page.rs"]
pub(crate) mod sample;

/// Elements without an end tag that the page uses.
const VOID: [&str; 3] = ["meta", "input", "br"];

/// One start tag with its attributes.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
}

impl Tag {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// All start tags and all text, or what is wrong with the markup: every element closed in order, attributes quoted.
pub(crate) fn parse(html: &str) -> Result<(Vec<Tag>, String), String> {
    let (mut tags, mut text, mut open) = (vec![], String::new(), Vec::<String>::new());
    let mut rest = html.strip_prefix("<!doctype html>").ok_or("no doctype")?;
    while let Some(at) = rest.find('<') {
        text.push_str(&rest[..at]);
        text.push('\n');
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('/') {
            let end = after.find('>').ok_or("unfinished end tag")?;
            let last = open.pop().ok_or(format!("</{}> without start", &after[..end]))?;
            if last != after[..end] {
                return Err(format!("<{last}> closed by </{}>", &after[..end]));
            }
            rest = &after[end + 1..];
            continue;
        }
        let (tag, closed, after) = start_tag(rest)?;
        rest = after;
        if matches!(tag.name.as_str(), "script" | "style") {
            let end = rest.find(&format!("</{}>", tag.name)).ok_or("unfinished raw text")?;
            rest = &rest[end..];
        }
        if !closed && !VOID.contains(&tag.name.as_str()) {
            open.push(tag.name.clone());
        }
        tags.push(tag);
    }
    text.push_str(rest);
    if open.is_empty() { Ok((tags, text)) } else { Err(format!("never closed: {open:?}")) }
}

fn start_tag(mut rest: &str) -> Result<(Tag, bool, &str), String> {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).ok_or("unfinished tag")?;
    let mut tag = Tag { name: rest[..end].to_string(), attributes: vec![] };
    if end == 0 {
        return Err(format!("a stray < before {:?}", &rest.chars().take(20).collect::<String>()));
    }
    rest = &rest[end..];
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("/>") {
            return Ok((tag, true, after));
        }
        if let Some(after) = rest.strip_prefix('>') {
            return Ok((tag, false, after));
        }
        let end = rest.find(['=', ' ', '>', '/']).ok_or("unfinished attribute")?;
        let name = rest[..end].to_string();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(format!("attribute name {name:?} in <{}>", tag.name));
        }
        rest = &rest[end..];
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix("=\"") {
            let end = after.find('"').ok_or("unfinished value")?;
            value = after[..end].to_string();
            rest = &after[end + 1..];
        } else if rest.starts_with('=') {
            return Err(format!("unquoted {name} in <{}>", tag.name));
        }
        if tag.get(&name).is_some() {
            return Err(format!("{name} twice in <{}>", tag.name));
        }
        tag.attributes.push((name, value));
    }
}

/// Numbers that must never be printed as values.
pub(crate) fn has_bad_number(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|w| matches!(w, "NaN" | "nan" | "inf" | "Infinity" | "infinity"))
}

/// Everything a reader must be able to rely on, whatever the page is made of.
pub(crate) fn check(html: &str) -> (Vec<Tag>, String) {
    let (tags, text) = parse(html).unwrap_or_else(|e| panic!("{e}"));
    let mut ids: Vec<&str> = tags.iter().filter_map(|t| t.get("id")).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|w| w[0] != w[1]), "an id is used twice");
    assert_eq!(tags.iter().filter(|t| t.name == "script").count(), 1);
    for tag in &tags {
        assert!(
            !matches!(tag.name.as_str(), "link" | "iframe" | "object" | "embed" | "base" | "img"),
            "{tag:?}"
        );
        for (name, value) in &tag.attributes {
            assert!(!name.starts_with("on"), "an event handler: {tag:?}");
            assert!(!matches!(name.as_str(), "src" | "action" | "srcset" | "style"), "{tag:?}");
            // A link leads to a place on this page, never out of it.
            let inside = |to: &str| to.strip_prefix('#').is_some_and(|id| ids.contains(&id));
            assert!(name != "href" || inside(value), "{tag:?}");
            if matches!(
                name.as_str(),
                "d" | "x" | "y" | "x1" | "x2" | "cx" | "cy" | "width" | "height" | "data-v"
            ) {
                assert!(!has_bad_number(value), "{tag:?}");
            }
            if let ("aria-labelledby", list) = (name.as_str(), value) {
                assert!(list.split(' ').all(|id| ids.contains(&id)), "{tag:?}");
            }
        }
        if tag.get("role") == Some("img") {
            assert!(tag.get("aria-labelledby").is_some(), "a figure without a name: {tag:?}");
        }
    }
    (tags, text)
}
