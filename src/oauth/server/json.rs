//! Objects written member by member, in the order that a dialect wants.

/// An object in the making.
#[derive(Debug)]
pub(super) struct Object {
    text: Vec<u8>,
}

impl Object {
    pub(super) fn new() -> Self {
        let mut text = Vec::with_capacity(512);
        text.push(b'{');
        Self { text }
    }

    fn name(&mut self, name: &str) {
        if self.text.len() > 1 {
            self.text.push(b',');
        }
        write(&mut self.text, name);
        self.text.push(b':');
    }

    pub(super) fn string(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        write(&mut self.text, value);
        self
    }

    pub(super) fn number(&mut self, name: &str, value: i64) -> &mut Self {
        self.name(name);
        let mut digits = itoa::Buffer::new();
        self.text.extend_from_slice(digits.format(value).as_bytes());
        self
    }

    pub(super) fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.name(name);
        let text: &[u8] = if value { b"true" } else { b"false" };
        self.text.extend_from_slice(text);
        self
    }

    pub(super) fn raw(&mut self, name: &str, json: &[u8]) -> &mut Self {
        self.name(name);
        self.text.extend_from_slice(json);
        self
    }

    /// A list of strings.
    pub(super) fn strings<'v>(
        &mut self,
        name: &str,
        values: impl IntoIterator<Item = &'v str>,
    ) -> &mut Self {
        self.name(name);
        self.text.push(b'[');
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                self.text.push(b',');
            }
            write(&mut self.text, value);
        }
        self.text.push(b']');
        self
    }

    /// One string as itself, several as a list: the form of `aud` (RFC 7519 §4.1.3).
    pub(super) fn one_or_many(&mut self, name: &str, values: &[String]) -> &mut Self {
        match values {
            [only] => self.string(name, only),
            all => self.strings(name, all.iter().map(String::as_str)),
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.text.push(b'}');
        self.text
    }
}

fn write(text: &mut Vec<u8>, value: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if value.bytes().all(plain) {
        text.push(b'"');
        text.extend_from_slice(value.as_bytes());
        text.push(b'"');
    } else if serde_json::to_writer(&mut *text, value).is_err() {
        // Writing to memory does not fail.
        text.extend_from_slice(b"\"\"");
    }
}
