//! gRPC calls: their errors are told in `grpc-status`, which is all that their clients look at.

use super::body::Content;
use crate::error::Error;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

static STATUS: HeaderName = HeaderName::from_static("grpc-status");
static MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
static PLAIN: HeaderValue = HeaderValue::from_static("application/grpc");
static WEB: HeaderValue = HeaderValue::from_static("application/grpc-web");

/// The media type of gRPC messages that fields tell: `application/grpc` or `application/grpc-web`,
/// perhaps with the name of an encoding.
pub(super) fn media_type(headers: &HeaderMap) -> Option<&'static HeaderValue> {
    let value = headers.get(header::CONTENT_TYPE)?.as_bytes();
    [&PLAIN, &WEB].into_iter().find(|known| {
        let name = known.as_bytes();
        let start = value.get(..name.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(name))
            && matches!(value.get(name.len()), None | Some(b'+' | b';' | b' '))
    })
}

/// Makes the page of an error an answer to a call: status and message in fields, no body.
pub(super) fn tell(
    error: &Error,
    media_type: &'static HeaderValue,
    response: &mut Response<Content>,
) {
    *response.body_mut() = Content::Empty;
    let code = code(response.status());
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, media_type.clone());
    headers.insert(&STATUS, HeaderValue::from_static(code));
    let message = HeaderValue::from_static(error.kind().synopsis());
    headers.insert(&MESSAGE, message);
}

/// The code that a client would give an answer of this status itself (gRPC, “HTTP to gRPC Status
/// Code Mapping”), and those of the statuses that the gateway alone knows the meaning of.
fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "8",
        StatusCode::BAD_REQUEST | StatusCode::INTERNAL_SERVER_ERROR => "13",
        StatusCode::UNAUTHORIZED => "16",
        StatusCode::FORBIDDEN => "7",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => "12",
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => "14",
        _ => "2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_known_by_its_media_type() {
        for (value, known) in [
            ("application/grpc", Some(&PLAIN)),
            ("Application/gRPC+proto", Some(&PLAIN)),
            ("application/grpc; x=y", Some(&PLAIN)),
            ("application/grpc-web", Some(&WEB)),
            ("application/grpc-web+proto", Some(&WEB)),
            ("application/grpc-web-text", None),
            ("application/json", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(media_type(&headers), known, "{value}");
        }
        assert_eq!(media_type(&HeaderMap::new()), None);
    }
}
