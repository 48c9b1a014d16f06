//! A writer of JSON, as small as the pages need it: it nests by closures, so that what it writes is always whole.

use std::fmt::{Display, Write};

/// A text that becomes JSON.
#[derive(Default)]
pub(super) struct Json {
    text: String,
    /// A value precedes in the object or list that is being written.
    more: bool,
}

impl Json {
    /// The text of one object.
    pub(super) fn object(fill: impl FnOnce(&mut Json)) -> String {
        let mut json = Json::default();
        json.nest('{', '}', fill);
        json.text
    }

    /// The text of one list.
    pub(super) fn list(fill: impl FnOnce(&mut Json)) -> String {
        let mut json = Json::default();
        json.nest('[', ']', fill);
        json.text
    }

    fn nest(&mut self, open: char, close: char, fill: impl FnOnce(&mut Json)) {
        self.comma();
        self.text.push(open);
        self.more = false;
        fill(self);
        self.text.push(close);
        self.more = true;
    }

    fn comma(&mut self) {
        if self.more {
            self.text.push(',');
        }
    }

    fn key(&mut self, key: &str) {
        self.quoted(key);
        self.text.push(':');
        self.more = false;
    }

    fn quoted(&mut self, text: &str) {
        self.comma();
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                c if c.is_control() => {
                    write!(self.text, "\\u{:04x}", c as u32).expect("a String takes any text");
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
        self.more = true;
    }

    /// An item that is a number.
    pub(super) fn number_item(&mut self, number: impl Into<u64>) {
        self.comma();
        write!(self.text, "{}", number.into()).expect("a String takes any text");
        self.more = true;
    }

    /// An item that is an object.
    pub(super) fn object_item(&mut self, fill: impl FnOnce(&mut Json)) {
        self.nest('{', '}', fill);
    }

    /// A member that is a number or a truth value, as Rust writes them.
    pub(super) fn plain(&mut self, key: &str, value: impl Display) {
        self.key(key);
        write!(self.text, "{value}").expect("a String takes any text");
        self.more = true;
    }

    /// A member that is a number, or null.
    pub(super) fn maybe(&mut self, key: &str, value: Option<impl Display>) {
        match value {
            Some(value) => self.plain(key, value),
            None => self.plain(key, "null"),
        }
    }

    /// A member that is a text.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.quoted(value);
    }

    /// A member that is a text, or null.
    pub(super) fn maybe_text(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(key, value),
            None => self.plain(key, "null"),
        }
    }

    /// A member that is an object.
    pub(super) fn member(&mut self, key: &str, fill: impl FnOnce(&mut Json)) {
        self.key(key);
        self.nest('{', '}', fill);
    }

    /// A member that is a list.
    pub(super) fn items(&mut self, key: &str, fill: impl FnOnce(&mut Json)) {
        self.key(key);
        self.nest('[', ']', fill);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_between_and_texts_are_escaped() {
        let text = Json::object(|j| {
            j.plain("a", 1);
            j.items("b", |j| {
                j.object_item(|j| j.text("c", "\"\\\n\u{1}é"));
                j.object_item(|_| {});
                j.number_item(7u64);
            });
            j.member("d", |j| j.maybe("e", None::<u64>));
            j.maybe_text("f", Some("g"));
        });
        assert_eq!(
            text,
            r#"{"a":1,"b":[{"c":"\"\\\n\u0001é"},{},7],"d":{"e":null},"f":"g"}"#
        );
        assert_eq!(Json::list(|_| {}), "[]");
    }
}
