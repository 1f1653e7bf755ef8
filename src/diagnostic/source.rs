//! The texts of a configuration and places in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Index of a configuration file in the [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u16);

/// A range of bytes in one configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The file.
    pub source: SourceId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span of `range` in `source`; offsets beyond 4 GiB saturate (files are limited far below).
    pub fn new(source: SourceId, range: std::ops::Range<usize>) -> Self {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            source,
            start: clamp(range.start),
            end: clamp(range.end),
        }
    }

    /// The bytes as indexes.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One configuration file.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path as the user wrote it, for messages.
    pub name: String,
    /// The folder that relative paths in the file start from.
    pub folder: PathBuf,
    /// Its text, without a byte order mark.
    pub text: Arc<str>,
}

/// A place as people count: line and column from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file's name as the user wrote it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column of the first character, from 1.
    pub column: usize,
    /// Column after the last character, on the same line.
    pub end_column: usize,
}

/// All configuration files of a run.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

impl SourceMap {
    /// Adds a file.
    pub fn add(&mut self, name: String, folder: &Path, text: &str) -> SourceId {
        let id = SourceId(u16::try_from(self.sources.len()).unwrap_or(u16::MAX));
        self.sources.push(Source {
            name,
            folder: folder.to_owned(),
            text: text.into(),
        });
        id
    }

    /// The file of an id.
    pub fn get(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(usize::from(id.0))
    }

    /// The folder that relative paths in the file start from.
    pub fn folder(&self, id: SourceId) -> &Path {
        self.get(id)
            .map_or_else(|| Path::new("."), |s| s.folder.as_path())
    }

    /// The text of a file.
    pub fn text(&self, id: SourceId) -> &str {
        self.get(id).map_or("", |s| &s.text)
    }

    /// All files with their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    /// The text of a span.
    pub fn slice(&self, span: Span) -> &str {
        self.text(span.source).get(span.range()).unwrap_or("")
    }

    /// Where a span is.
    pub fn locate(&self, span: Span) -> Location {
        let Some(source) = self.get(span.source) else {
            return Location {
                file: String::new(),
                line: 1,
                column: 1,
                end_column: 1,
            };
        };
        let floor = |mut at: usize| {
            at = at.min(source.text.len());
            while !source.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (start, end) = (floor(span.start as usize), floor(span.end as usize));
        let before = &source.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = source.text[line_start..start].chars().count() + 1;
        let first_line = source.text[start..end.max(start)]
            .lines()
            .next()
            .unwrap_or("");
        Location {
            file: source.name.clone(),
            line,
            column,
            end_column: column + first_line.chars().count(),
        }
    }

    /// `FILE:LINE:COLUMN` of a span.
    pub fn place(&self, span: Span) -> String {
        let at = self.locate(span);
        format!("{}:{}:{}", at.file, at.line, at.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let mut map = SourceMap::default();
        let id = map.add("x.hcl".into(), Path::new("."), "aä\nböc\n");
        let place = |start, end| {
            map.locate(Span {
                source: id,
                start,
                end,
            })
        };
        assert_eq!((place(0, 1).line, place(0, 1).column), (1, 1));
        assert_eq!((place(7, 8).line, place(7, 8).column), (2, 3));
        assert_eq!(place(4, 8).end_column, 4);
        assert_eq!(place(400, 900).line, 3);
    }
}
