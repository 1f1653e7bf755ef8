//! Collections in parts: what the file declares comes first, then what is stored.

use super::problem::Problem;
use super::{Asked, Reply};
use crate::store::{Listing, Page, StoreError, TagFilter};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde_json::{Value, json};
use std::future::Future;
use uuid::Uuid;

/// Entities of a page unless `size` says otherwise.
const USUAL: usize = 100;

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// After a declared entity, or at the beginning.
    Declared(Option<Uuid>),
    /// After a stored one, or after all declared ones.
    Stored(Option<Uuid>),
}

impl Place {
    fn encode(self) -> String {
        let (kind, id) = match self {
            Self::Declared(id) => (b'd', id),
            Self::Stored(id) => (b's', id),
        };
        let mut bytes = vec![kind];
        bytes.extend(id.iter().flat_map(Uuid::as_bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (kind, id) = bytes.split_first()?;
        let id = match id {
            [] => None,
            id => Some(Uuid::from_slice(id).ok()?),
        };
        match kind {
            b'd' => Some(Self::Declared(id)),
            b's' => Some(Self::Stored(id)),
            _ => None,
        }
    }
}

/// Answers with a page. `declared` are the declared entities that pass the filter, in order of their
/// ids; `stored` gives a page of stored ones.
pub(super) async fn list<T, S, F>(
    asked: &Asked<'_>,
    declared: Vec<T>,
    id: impl Fn(&T) -> Uuid,
    stored: S,
    show: impl Fn(&T) -> Value,
) -> Result<Reply, Problem>
where
    S: FnOnce(Page) -> F,
    F: Future<Output = Result<Listing<T>, StoreError>>,
{
    let size = match asked.option("size") {
        None => USUAL,
        Some(text) => text
            .parse()
            .ok()
            .filter(|size| (1..=Page::LARGEST).contains(size))
            .ok_or(Problem::Size)?,
    };
    let from = match asked.option("offset") {
        None => Place::Declared(None),
        Some(text) => Place::decode(text).ok_or(Problem::Offset)?,
    };
    let count = declared.len();
    let (mut items, after) = match from {
        Place::Stored(after) => (Vec::new(), after),
        Place::Declared(after) => {
            let rest = declared.into_iter();
            let rest = rest.filter(|item| after.is_none_or(|after| id(item) > after));
            (rest.take(size + 1).collect(), None)
        }
    };
    let mut next = None;
    let total;
    if items.len() > size {
        items.truncate(size);
        next = items.last().map(|item| Place::Declared(Some(id(item))));
        total = stored(Page::first(1)).await?.total;
    } else {
        // One is asked for even if there is no place for it: whether more follow has to be known.
        let room = size - items.len();
        let page = Page {
            size: room.max(1),
            after,
        };
        let listing = stored(page).await?;
        total = listing.total;
        if room == 0 {
            next = (!listing.items.is_empty()).then_some(Place::Stored(None));
        } else {
            items.extend(listing.items);
            next = listing.next.map(|id| Place::Stored(Some(id))).or(next);
        }
    }
    let data: Vec<Value> = items.iter().map(show).collect();
    let mut body = json!({"data": data, "next": null});
    if let Some(total) = total {
        body["total"] = json!(total + count as u64);
    }
    if let Some(next) = next {
        let offset = next.encode();
        body["next"] = next_address(asked, &offset).into();
        body["offset"] = offset.into();
    }
    Ok(Reply::json(StatusCode::OK, &body))
}

/// The address of the next page: the same query with another offset.
fn next_address(asked: &Asked<'_>, offset: &str) -> String {
    let path = asked.call.path.trim_end_matches('/');
    let kept = asked
        .call
        .query
        .split('&')
        .filter(|pair| !pair.is_empty() && *pair != "offset" && !pair.starts_with("offset="));
    let mut query: Vec<&str> = kept.collect();
    let offset = format!("offset={offset}");
    query.push(&offset);
    format!("{path}?{}", query.join("&"))
}

/// The `tags` of a query: `a,b` for all of them, `a/b` for any.
pub(super) fn tags(asked: &Asked<'_>) -> Result<Option<TagFilter>, Problem> {
    let Some(text) = asked.option("tags") else {
        return Ok(None);
    };
    let parts = |by: char| text.split(by).map(str::to_owned).collect::<Vec<_>>();
    match (text.contains(','), text.contains('/')) {
        (true, true) => Err(Problem::Option(
            "tags: ',' and '/' exclude one another".into(),
        )),
        (_, _) if text.is_empty() => Err(Problem::Option("tags: cannot be empty".into())),
        (false, true) => Ok(Some(TagFilter::Any(parts('/')))),
        (_, false) => Ok(Some(TagFilter::All(parts(',')))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_back() {
        let id = crate::store::new_id();
        for place in [
            Place::Declared(None),
            Place::Declared(Some(id)),
            Place::Stored(None),
            Place::Stored(Some(id)),
        ] {
            assert_eq!(Place::decode(&place.encode()), Some(place));
        }
        for wrong in ["", "nonsense", "!", "ZA=="] {
            assert_eq!(Place::decode(wrong), None, "{wrong}");
        }
    }
}
