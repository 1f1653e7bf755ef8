//! HTTP/1 messages, read byte by byte as they come.

use std::io::{self, BufRead, Read};

use super::encoding::from_latin1;
use super::value::Table;

/// Names in lower case, and values, in their order.
pub type Fields = Vec<(String, String)>;

/// The start line and the header fields of a message.
#[derive(Clone, Debug)]
pub struct Head {
    /// The start line.
    pub line: String,
    /// The fields.
    pub fields: Fields,
}

impl Head {
    /// The first value of a field.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The fields as a table; several of one name are a list.
    pub fn table(&self) -> Table {
        let mut table = Table::default();
        for (name, value) in &self.fields {
            table.add(name, value);
        }
        table
    }

    /// Whether the body comes in chunks.
    pub fn chunked(&self) -> bool {
        self.first("transfer-encoding")
            .is_some_and(|value| value.to_ascii_lowercase().contains("chunked"))
    }

    /// The body's length, if it is told.
    pub fn length(&self) -> io::Result<Option<usize>> {
        let parse = |text: &str| {
            text.trim()
                .parse()
                .map_err(|_| invalid(&format!("content-length {text:?}")))
        };
        self.first("content-length").map(parse).transpose()
    }
}

/// A fault of the peer's message.
pub fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads one line without its end; `None` at the end of the stream.
fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if from.read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    while bytes.ends_with(b"\n") || bytes.ends_with(b"\r") {
        bytes.pop();
    }
    Ok(Some(from_latin1(&bytes)))
}

/// Reads fields up to the empty line.
fn fields(from: &mut impl BufRead) -> io::Result<Fields> {
    let mut fields = Vec::new();
    loop {
        let line =
            line(from)?.ok_or_else(|| invalid("the peer closed the connection in the header"))?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Reads the head of a message; `None` when the peer closed the connection before it.
pub fn head(from: &mut impl BufRead) -> io::Result<Option<Head>> {
    match line(from)? {
        None => Ok(None),
        Some(line) if line.trim().is_empty() => Ok(None),
        Some(line) => Ok(Some(Head {
            line,
            fields: fields(from)?,
        })),
    }
}

/// Reads a body in chunks, and its trailers.
pub fn chunks(from: &mut impl BufRead, mut came: impl FnMut()) -> io::Result<(Vec<u8>, Fields)> {
    let mut body = Vec::new();
    loop {
        let line =
            line(from)?.ok_or_else(|| invalid("the peer closed the connection in the body"))?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(digits, 16)
            .map_err(|_| invalid(&format!("chunk size {line:?}")))?;
        if size == 0 {
            return Ok((body, fields(from)?));
        }
        exactly(from, size, &mut body, &mut came)?;
        self::line(from)?;
    }
}

/// Reads so many bytes.
pub fn exactly(
    from: &mut impl BufRead,
    size: u64,
    into: &mut Vec<u8>,
    mut came: impl FnMut(),
) -> io::Result<()> {
    let mut rest = from.take(size);
    while rest.limit() > 0 {
        let part = rest.fill_buf()?;
        if part.is_empty() {
            return Err(invalid(&format!(
                "the peer closed the connection {} bytes early",
                rest.limit()
            )));
        }
        came();
        let length = part.len();
        into.extend_from_slice(part);
        rest.consume(length);
    }
    Ok(())
}

/// Reads to the end of the stream.
pub fn to_the_end(from: &mut impl BufRead, mut came: impl FnMut()) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let part = from.fill_buf()?;
        if part.is_empty() {
            return Ok(body);
        }
        came();
        let length = part.len();
        body.extend_from_slice(part);
        from.consume(length);
    }
}
