//! Digests that a protocol asks for.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// SHA-1 as base64. It protects nothing: protocols such as RFC 6455 only compare it.
pub fn sha1_base64(parts: &[&[u8]]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    STANDARD.encode(context.finish())
}
