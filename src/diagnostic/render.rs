//! Diagnostics as text: with the source line and a caret, on one line, or as JSON.

use super::{Diagnostic, Severity, SourceId, SourceMap, Span};
use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

/// With source lines, carets and hints, as on a terminal.
pub fn full(diagnostic: &Diagnostic, sources: &SourceMap, colour: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level
        .primary_title(diagnostic.message.as_str())
        .id(diagnostic.code.0);
    let mut group = Group::with_title(title);
    if let Some(primary) = diagnostic.primary {
        let mut snippet = snippet(primary.source, sources).annotation(annotate(
            AnnotationKind::Primary,
            primary,
            diagnostic.label.as_deref(),
            sources,
        ));
        let mut others: Vec<SourceId> = Vec::new();
        for (span, label) in &diagnostic.related {
            if span.source == primary.source {
                snippet = snippet.annotation(annotate(
                    AnnotationKind::Context,
                    *span,
                    Some(label),
                    sources,
                ));
            } else if !others.contains(&span.source) {
                others.push(span.source);
            }
        }
        group = group.element(snippet);
        for source in others {
            let mut other = self::snippet(source, sources);
            for (span, label) in diagnostic
                .related
                .iter()
                .filter(|(s, _)| s.source == source)
            {
                other = other.annotation(annotate(
                    AnnotationKind::Context,
                    *span,
                    Some(label),
                    sources,
                ));
            }
            group = group.element(other);
        }
    }
    if let Some(hint) = &diagnostic.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    renderer.render(&[group])
}

fn snippet(source: SourceId, sources: &SourceMap) -> Snippet<'_, Annotation<'_>> {
    let name = sources.get(source).map_or("", |s| s.name.as_str());
    Snippet::source(sources.text(source)).path(name)
}

/// Long spans are cut at their first line: a caret under a whole block says nothing.
fn annotate<'a>(
    kind: AnnotationKind,
    span: Span,
    label: Option<&'a str>,
    sources: &SourceMap,
) -> Annotation<'a> {
    let text = sources.text(span.source);
    let start = (span.start as usize).min(text.len());
    let end = (span.end as usize).clamp(start, text.len());
    let first_line = text
        .get(start..end)
        .and_then(|t| t.lines().next())
        .map_or(0, str::len);
    let mut stop = start + first_line;
    if stop == start {
        stop = text[start..]
            .chars()
            .next()
            .map_or(start, |c| start + c.len_utf8());
    }
    let annotation = kind.span(start..stop);
    match label {
        Some(label) => annotation.label(label),
        None => annotation,
    }
}

/// `FILE:LINE,COLUMN-COLUMN: message; hint` on one line, for logs.
pub fn concise(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let mut text = String::new();
    if let Some(span) = diagnostic.primary {
        let at = sources.locate(span);
        text = format!("{}:{},{}-{}: ", at.file, at.line, at.column, at.end_column);
    }
    text.push_str(&diagnostic.message);
    for (span, label) in &diagnostic.related {
        text.push_str(&format!("; {label} at {}", sources.place(*span)));
    }
    if let Some(hint) = &diagnostic.hint {
        text.push_str("; ");
        text.push_str(hint);
    }
    text
}

/// One JSON object, the form of `verify --format json`.
pub fn json(diagnostic: &Diagnostic, sources: &SourceMap) -> serde_json::Value {
    let place = |span: Span| {
        let at = sources.locate(span);
        serde_json::json!({
            "file": at.file, "line": at.line, "column": at.column, "end_column": at.end_column,
        })
    };
    let related: Vec<serde_json::Value> = diagnostic
        .related
        .iter()
        .map(|(span, label)| serde_json::json!({ "place": place(*span), "label": label }))
        .collect();
    serde_json::json!({
        "code": diagnostic.code.0,
        "severity": diagnostic.severity.as_str(),
        "message": diagnostic.message,
        "place": diagnostic.primary.map(place),
        "related": related,
        "hint": diagnostic.hint,
    })
}
