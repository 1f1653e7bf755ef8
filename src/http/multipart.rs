//! `multipart/form-data` (RFC 7578): the text fields of a body that is in memory.
//!
//! Parts that hold files are passed over: an expression reads text. A body that is not well formed
//! has the fields before the fault.

use memchr::memmem;

/// Fields of one body; more are not read.
const MAX_FIELDS: usize = 1000;

/// Names and values in order; `None` for a media type without boundary.
pub(super) fn fields(content_type: &[u8], body: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let boundary = parameter(content_type, b"boundary")?;
    if boundary.is_empty() || boundary.len() > 70 {
        return None; // RFC 2046 5.1.1
    }
    let delimiter = [b"\r\n--", boundary.as_slice()].concat();
    // The first delimiter may stand at the very start.
    let mut rest = match body.strip_prefix(&delimiter[2..]) {
        Some(rest) => rest,
        None => after(body, &delimiter)?,
    };
    let finder = memmem::Finder::new(&delimiter);
    let mut fields = Vec::new();
    while fields.len() < MAX_FIELDS && !rest.starts_with(b"--") {
        let (Some(start), Some(end)) = (memmem::find(rest, b"\r\n"), finder.find(rest)) else {
            break;
        };
        if let Some(field) = rest.get(start..end).and_then(field) {
            fields.push(field);
        }
        rest = &rest[end + delimiter.len()..];
    }
    Some(fields)
}

fn after<'b>(text: &'b [u8], what: &[u8]) -> Option<&'b [u8]> {
    memmem::find(text, what).map(|at| &text[at + what.len()..])
}

/// A part from the line break before its first header field; `None` for a file.
fn field(part: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let end = memmem::find(part, b"\r\n\r\n")?;
    let mut name = None;
    for line in lines(&part[..end]) {
        let colon = memchr::memchr(b':', line)?;
        let (header, value) = (line[..colon].trim_ascii(), &line[colon + 1..]);
        if header.eq_ignore_ascii_case(b"content-disposition") {
            if parameter(value, b"filename").is_some() || parameter(value, b"filename*").is_some() {
                return None;
            }
            name = parameter(value, b"name");
        }
    }
    Some((name?, part[end + 4..].to_vec()))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
}

/// A parameter of a header value: a token or a quoted string.
fn parameter(value: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    let mut rest = after(value, b";")?;
    loop {
        let equals = memchr::memchr(b'=', rest)?;
        let name = rest[..equals].trim_ascii();
        rest = &rest[equals + 1..];
        let mut content = Vec::new();
        if let Some(quoted) = rest.strip_prefix(b"\"") {
            let mut at = 0;
            loop {
                match *quoted.get(at)? {
                    b'"' => break,
                    b'\\' => {
                        at += 1;
                        content.push(*quoted.get(at)?);
                    }
                    byte => content.push(byte),
                }
                at += 1;
            }
            rest = &quoted[at + 1..];
        } else {
            let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
            content.extend_from_slice(rest[..end].trim_ascii());
            rest = &rest[end..];
        }
        if name.eq_ignore_ascii_case(wanted) {
            return Some(content);
        }
        rest = after(rest, b";")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &str, body: &str) -> Option<Vec<(String, String)>> {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let fields = fields(content_type.as_bytes(), body.as_bytes())?;
        Some(
            fields
                .into_iter()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
        )
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn text_fields_are_read_and_files_are_not() {
        let body = "preamble\r\n--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2\r\n\
                    --b\r\ncontent-disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\nfile\r\n\
                    --b  \r\nContent-Type: text/plain\r\nContent-Disposition: form-data; name=\"q\\\"\"\r\n\r\n\r\n\
                    --b--\r\n--b\r\nContent-Disposition: form-data; name=\"late\"\r\n\r\nx\r\n--b--";
        let found = read("multipart/form-data; charset=x; Boundary=\"b\"", body);
        assert_eq!(found, Some(vec![pair("a", "1\r\n2"), pair("q\"", "")]));
    }

    #[test]
    fn what_is_broken_ends_quietly() {
        for body in [
            "",
            "--b",
            "--b\r\n",
            "--b\r\n\r\n",
            "--b\r\nx",
            "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nno end",
        ] {
            assert!(
                read("multipart/form-data;boundary=b", body)
                    .unwrap_or_default()
                    .is_empty()
            );
        }
        assert_eq!(read("multipart/form-data", "--b--"), None);
        assert_eq!(read("multipart/form-data; boundary=\"b", "--b--"), None);
    }
}
