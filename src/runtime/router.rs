//! Which pattern a path belongs to.
//!
//! A trie by segments. Patterns without a final `**` come before those with one; among those with
//! one the longer comes first; at the first differing segment a literal comes before a parameter.
//! A trailing slash does not count, empty segments do. Matching works on the decoded path.

use foldhash::HashMap;
use smallvec::SmallVec;

/// Ranges of the path that the pattern's parameters matched, in order.
pub type Captures = SmallVec<[(u32, u32); 4]>;

/// A table of patterns.
#[derive(Debug)]
pub struct Router<T> {
    nodes: Vec<Node<T>>,
}

#[derive(Debug)]
struct Node<T> {
    literals: HashMap<Box<str>, usize>,
    parameter: Option<usize>,
    exact: Option<T>,
    wildcard: Option<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            literals: HashMap::default(),
            parameter: None,
            exact: None,
            wildcard: None,
        }
    }
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
        }
    }
}

/// What a path matched.
#[derive(Debug)]
pub struct Match<'r, T> {
    /// The value of the pattern.
    pub value: &'r T,
    /// What its parameters matched.
    pub captures: Captures,
    /// Where in the path the part that `**` took over begins (its slash), for patterns with one.
    pub wildcard: Option<usize>,
}

/// The segments of a pattern or path: without the leading and one trailing slash.
fn segments(path: &str) -> impl Iterator<Item = (usize, &str)> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    let start = path.len() - inner.len();
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    let mut at = start;
    let empty = inner.is_empty();
    inner
        .split('/')
        .filter(move |_| !empty)
        .map(move |segment| {
            let begin = at;
            at += segment.len() + 1;
            (begin, segment)
        })
}

/// The name of a parameter segment `{name}`.
fn parameter(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

/// The parameter names of a pattern, in order.
pub fn parameter_names(pattern: &str) -> Vec<Box<str>> {
    segments(pattern)
        .filter_map(|(_, s)| parameter(s))
        .map(Box::from)
        .collect()
}

/// The pattern with every parameter replaced by `{}`: equal for patterns that match the same paths.
pub fn shape(pattern: &str) -> String {
    let mut shape = String::new();
    for (_, segment) in segments(pattern) {
        shape.push('/');
        shape.push_str(if parameter(segment).is_some() {
            "{}"
        } else {
            segment
        });
    }
    if shape.is_empty() { "/".into() } else { shape }
}

impl<T> Router<T> {
    /// Adds a pattern; gives the value back if the table has one for the same paths already.
    pub fn insert(&mut self, pattern: &str, value: T) -> Result<(), T> {
        let (path, wildcard) = match pattern.strip_suffix("/**") {
            Some(prefix) => (prefix, true),
            None => (pattern, false),
        };
        let mut at = 0;
        for (_, segment) in segments(path) {
            at = self.child(at, segment);
        }
        let node = &mut self.nodes[at];
        let slot = if wildcard {
            &mut node.wildcard
        } else {
            &mut node.exact
        };
        if slot.is_some() {
            return Err(value);
        }
        *slot = Some(value);
        Ok(())
    }

    fn child(&mut self, at: usize, segment: &str) -> usize {
        let next = self.nodes.len();
        let node = &mut self.nodes[at];
        let child = if parameter(segment).is_some() {
            *node.parameter.get_or_insert(next)
        } else {
            *node.literals.entry(segment.into()).or_insert(next)
        };
        if child == next {
            self.nodes.push(Node::default());
        }
        child
    }

    /// The pattern that a path belongs to.
    pub fn find<'r>(&'r self, path: &str) -> Option<Match<'r, T>> {
        let split: SmallVec<[(u32, u32); 16]> = segments(path)
            .filter_map(|(start, segment)| {
                Some((
                    u32::try_from(start).ok()?,
                    u32::try_from(start + segment.len()).ok()?,
                ))
            })
            .collect();
        let mut search = Search {
            router: self,
            path,
            segments: &split,
            captures: Captures::new(),
            best: None,
        };
        if let Some(value) = search.walk(0, 0) {
            return Some(Match {
                value,
                captures: search.captures,
                wildcard: None,
            });
        }
        let best = search.best?;
        let wildcard = match best.depth {
            0 => 0,
            depth => split
                .get(depth - 1)
                .map_or(path.len(), |(_, end)| *end as usize),
        };
        Some(Match {
            value: best.value,
            captures: best.captures,
            wildcard: Some(wildcard),
        })
    }
}

struct Search<'r, 'p, T> {
    router: &'r Router<T>,
    path: &'p str,
    segments: &'p [(u32, u32)],
    captures: Captures,
    best: Option<Best<'r, T>>,
}

struct Best<'r, T> {
    depth: usize,
    value: &'r T,
    captures: Captures,
}

impl<'r, T> Search<'r, '_, T> {
    /// Depth first, literals before parameters; remembers the deepest wildcard on the way.
    fn walk(&mut self, at: usize, depth: usize) -> Option<&'r T> {
        let node = &self.router.nodes[at];
        if let Some(value) = &node.wildcard
            && self.best.as_ref().is_none_or(|best| depth > best.depth)
        {
            self.best = Some(Best {
                depth,
                value,
                captures: self.captures.clone(),
            });
        }
        let Some(&(start, end)) = self.segments.get(depth) else {
            return node.exact.as_ref();
        };
        let segment = &self.path[start as usize..end as usize];
        if let Some(&next) = node.literals.get(segment)
            && let Some(value) = self.walk(next, depth + 1)
        {
            return Some(value);
        }
        if let Some(next) = node.parameter
            && !segment.is_empty()
        {
            self.captures.push((start, end));
            if let Some(value) = self.walk(next, depth + 1) {
                return Some(value);
            }
            self.captures.pop();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(patterns: &[&'static str]) -> Router<&'static str> {
        let mut router = Router::default();
        for pattern in patterns {
            router.insert(pattern, *pattern).unwrap();
        }
        router
    }

    fn found(router: &Router<&'static str>, path: &str) -> Option<&'static str> {
        router.find(path).map(|found| *found.value)
    }

    #[test]
    fn order_of_precedence() {
        let router = router(&["/**", "/a/**", "/a/b", "/a/{x}", "/{p}/b/**", "/a/{x}/c"]);
        for (path, pattern) in [
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b"),
            ("/a/z", "/a/{x}"),
            ("/a/b/c", "/a/{x}/c"),
            ("/a/b/d", "/{p}/b/**"),
            ("/a/z/d", "/a/**"),
            ("/a", "/a/**"),
            ("/ab", "/**"),
            ("/", "/**"),
            ("//a", "/**"),
        ] {
            assert_eq!(found(&router, path), Some(pattern), "{path}");
        }
    }

    #[test]
    fn parameters_are_never_empty_and_capture_their_segment() {
        let router = router(&["/a/{x}/b/{y}"]);
        assert_eq!(found(&router, "/a//b/c"), None);
        let path = "/a/one/b/two";
        let found = router.find(path).unwrap();
        let texts: Vec<_> = found
            .captures
            .iter()
            .map(|(s, e)| &path[*s as usize..*e as usize])
            .collect();
        assert_eq!(texts, ["one", "two"]);
    }

    #[test]
    fn wildcard_takes_the_rest() {
        let router = router(&["/a/**"]);
        for (path, rest) in [
            ("/a", ""),
            ("/a/", "/"),
            ("/a/b/c/", "/b/c/"),
            ("/a//x", "//x"),
        ] {
            let at = router.find(path).unwrap().wildcard.unwrap();
            assert_eq!(&path[at..], rest, "{path}");
        }
        assert_eq!(found(&router, "/ab"), None);
    }

    #[test]
    fn patterns_that_match_the_same_paths_are_refused() {
        let mut router = router(&["/a/{x}", "/b/**"]);
        assert!(router.insert("/a/{y}", "").is_err());
        assert!(router.insert("/b/**", "").is_err());
        assert!(router.insert("/a/x", "").is_ok());
        assert_eq!(shape("/a/{x}/b"), shape("/a/{y}/b/"));
        assert_eq!(parameter_names("/a/{x}/{y}/**"), ["x".into(), "y".into()]);
    }
}
