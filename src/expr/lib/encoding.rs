//! Base64 and percent-encoding.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

use crate::expr::function::Args;
use crate::expr::lib::text;
use crate::expr::value::Value;

/// RFC 4648 section 4 with padding; stray bits in the last character are let pass.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// `base64_decode(s)`: standard alphabet, padding required, line breaks skipped.
pub(crate) fn base64_decode(mut args: Args<'_>) -> Result<Value<'_>, String> {
    let mut encoded = text(&mut args, 0)?.into_bytes();
    encoded.retain(|b| !matches!(b, b'\r' | b'\n'));
    let decoded = LENIENT.decode(encoded);
    decoded
        .map(Value::string)
        .map_err(|_| "malformed base64".into())
}

/// `base64_encode(s)`: standard alphabet, padded.
pub(crate) fn base64_encode(mut args: Args<'_>) -> Result<Value<'_>, String> {
    Ok(Value::string(
        STANDARD.encode(text(&mut args, 0)?.as_bytes()),
    ))
}

/// `url_decode(s)`: percent decoding, `+` is a blank.
pub(crate) fn url_decode(mut args: Args<'_>) -> Result<Value<'_>, String> {
    let given = text(&mut args, 0)?;
    let given = given.as_bytes();
    let mut out = Vec::with_capacity(given.len());
    let mut rest = given.iter();
    while let Some(&byte) = rest.next() {
        let mut digit = || char::from(*rest.next()?).to_digit(16);
        out.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(), digit()) {
                (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or_default(),
                _ => return Err("malformed percent-encoding".into()),
            },
            _ => byte,
        });
    }
    Ok(Value::string(out))
}

/// `url_encode(s)`: everything but the unreserved characters of RFC 3986 percent-encoded.
pub(crate) fn url_encode(mut args: Args<'_>) -> Result<Value<'_>, String> {
    let given = text(&mut args, 0)?;
    let mut out = Vec::with_capacity(given.as_bytes().len());
    for &byte in given.as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(byte);
        } else {
            let hex = |n: u8| b"0123456789ABCDEF"[usize::from(n)];
            out.extend([b'%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    Ok(Value::string(out))
}
