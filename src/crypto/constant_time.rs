//! Comparison of secrets in a time that does not depend on where they differ.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;

/// Whether two values of public length (digests, tags, thumbprints) are equal.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    verify_slices_are_equal(a, b).is_ok()
}

/// Whether two secrets are equal. Both are hashed first, so the time tells nothing about the length
/// of the expected one either.
pub fn secrets_equal(a: &[u8], b: &[u8]) -> bool {
    let digest = |bytes| digest::digest(&digest::SHA256, bytes);
    equal(digest(a).as_ref(), digest(b).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_is_that_of_bytes() {
        for compare in [equal, secrets_equal] {
            assert!(compare(b"", b""));
            assert!(compare(b"secret", b"secret"));
            assert!(!compare(b"secret", b"secreT"));
            assert!(!compare(b"secret", b"secret "));
        }
    }
}
