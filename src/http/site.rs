//! Answering for `files` and `spa`: which of them a path belongs to, and with what.

use super::body::Content;
use super::exchange::{Exchange, Handler};
use super::file::{self, Coding, Located};
use crate::blocks::files::Files;
use crate::blocks::site::Site;
use crate::blocks::spa::Spa;
use crate::error::{Error, Kind};
use crate::runtime::tree::Candidates;
use http::{HeaderValue, Method, Response, StatusCode, header};
use std::path::Path;
use std::sync::Arc;

/// Who answers.
#[derive(Debug)]
pub enum Chosen {
    /// A folder, with what was found in it.
    Files(Arc<Files>, Option<Located>),
    /// A spa.
    Spa(Arc<Spa>),
}

impl Chosen {
    /// Base path, access control and the like.
    pub fn site(&self) -> &Arc<Site> {
        match self {
            Self::Files(files, _) => &files.site,
            Self::Spa(spa) => &spa.site,
        }
    }

    /// The word for the log.
    pub fn handler(&self) -> Handler {
        match self {
            Self::Files(..) => Handler::File,
            Self::Spa(_) => Handler::Spa,
        }
    }
}

/// Whether a method is let in by files and spas.
pub fn allows(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// A file that is there comes first, then the spa, then the folder's own 404.
pub async fn choose(exchange: &Exchange, candidates: Candidates) -> Result<Chosen, Error> {
    let missing = || Error::new(Kind::RouteNotFound, "");
    let Some((files, begin)) = candidates.files else {
        return candidates.spa.map(Chosen::Spa).ok_or_else(missing);
    };
    let rest = exchange.path().get(begin..).unwrap_or("");
    let located = match files.resolve(rest) {
        Some(path) => {
            let slash = rest.ends_with('/');
            let spa = candidates.spa.clone();
            let codings = Coding::accepted(exchange.headers());
            on_blocking_pool(move || {
                let prefer = spa.as_ref().map(|spa| &*spa.bootstrap_file);
                file::locate(&path, slash, prefer, &codings)
            })
            .await?
        }
        None => None,
    };
    match (located, candidates.spa) {
        (None, Some(spa)) => Ok(Chosen::Spa(spa)),
        (located, _) => Ok(Chosen::Files(files, located)),
    }
}

async fn on_blocking_pool<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(Kind::Internal, error.to_string()))
}

/// The answer to a request that was let in.
pub async fn answer(chosen: Chosen, exchange: &Exchange) -> Result<Response<Content>, Error> {
    let (method, headers) = (&exchange.method, exchange.headers());
    match chosen {
        Chosen::Files(_, Some(Located::File(file))) => Ok(file::respond(method, headers, file)),
        Chosen::Files(_, Some(Located::Directory)) => add_slash(exchange.raw_path()),
        Chosen::Files(_, None) => Err(Error::new(Kind::RouteNotFound, "")),
        Chosen::Spa(spa) => match &spa.page {
            Some(page) => Ok(file::respond_made(method, headers, &page.text, page.made)),
            None => {
                let opened = {
                    let spa = Arc::clone(&spa);
                    let codings = Coding::accepted(headers);
                    on_blocking_pool(move || file::open(&spa.bootstrap_file, &codings)).await?
                };
                let file = opened.ok_or_else(|| gone(&spa.bootstrap_file))?;
                Ok(file::respond(method, headers, file))
            }
        },
    }
}

fn gone(path: &Path) -> Error {
    let detail = format!("the bootstrap file {} cannot be read", path.display());
    Error::new(Kind::RouteNotFound, detail)
}

/// Sends the client from a directory's name to the one with a slash. A path that begins with
/// several slashes never gets here, so the target is on this host.
fn add_slash(path: &str) -> Result<Response<Content>, Error> {
    let location = HeaderValue::try_from(format!("{path}/"))
        .map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    let mut response = Response::new(Content::Empty);
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}
