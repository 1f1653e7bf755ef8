//! Numbers of the language.
//!
//! A number has one of three forms. Whole numbers that fit are `i64`, fractions of JSON *bodies*
//! are `f64` as every JSON client has them, and everything else is an exact decimal. A value has
//! one form only: a decimal or float that is whole and small becomes an `i64`, so that equality
//! and formatting need not try conversions. Results that no finite decimal can hold (`1/3`) are
//! rounded to 34 digits, the precision of IEEE 754 decimal128. The number of digits is bounded, as
//! it would otherwise be a way to fill the memory with one short expression.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use dashu_float::round::mode::{HalfEven, Zero};
use dashu_float::{Context, DBig, FBig, FpResult, Repr};

/// Digits kept of a quotient that has no end.
const PRECISION: usize = 34;
/// Most digits before or after the decimal point; a number beyond is refused.
const MAX_DIGITS: usize = 5_000;
/// Whole `f64` below this are exact integers.
const EXACT_F64: f64 = 9_007_199_254_740_992.0;

/// A number; see the module for its forms.
#[derive(Clone, Debug)]
pub struct Number(Form);

#[derive(Clone, Debug)]
enum Form {
    Int(i64),
    /// Never whole below 2^53, never NaN or infinite.
    Float(f64),
    /// Never one that `Int` can hold.
    Decimal(Arc<Repr<10>>),
}

/// Why an operation has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// The divisor of `/` or `%` was zero.
    #[error("division by zero")]
    DivisionByZero,
    /// More digits than a number may have.
    #[error("number is out of range")]
    OutOfRange,
    /// The text is no decimal number.
    #[error("not a decimal number")]
    Malformed,
}

impl Number {
    /// Reads `-?digits[.digits][e[+-]digits]`, exactly.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        if let Some(small) = parse_small(text.as_bytes()) {
            return Ok(Self(Form::Int(small)));
        }
        let exponent = check_grammar(text.as_bytes()).ok_or(NumberError::Malformed)?;
        if text.len() > MAX_DIGITS || exponent > MAX_DIGITS {
            return Err(NumberError::OutOfRange);
        }
        let parsed = DBig::from_str(text).map_err(|_| NumberError::Malformed)?;
        Self::from_repr(parsed.into_repr())
    }

    /// Whether [`Number::parse`] would find a number, large or small.
    pub(crate) fn is_number(text: &str) -> bool {
        check_grammar(text.as_bytes()).is_some()
    }

    /// A fraction as JSON clients have it; `None` for infinite and NaN.
    pub fn from_f64(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        #[allow(clippy::cast_possible_truncation)] // whole and below 2^53
        if value.fract().abs() == 0.0 && value.abs() < EXACT_F64 {
            return Some(Self(Form::Int(value as i64)));
        }
        Some(Self(Form::Float(value)))
    }

    /// The number as `i64`, if it is whole and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match &self.0 {
            Form::Int(n) => Some(*n),
            Form::Float(_) | Form::Decimal(_) => None,
        }
    }

    /// The nearest `f64`.
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            #[allow(clippy::cast_precision_loss)] // nearest is what is asked for
            Form::Int(n) => *n as f64,
            Form::Float(f) => *f,
            Form::Decimal(repr) => repr.to_f64().value(),
        }
    }

    /// Whether there is no fraction.
    pub fn is_whole(&self) -> bool {
        match &self.0 {
            Form::Int(_) => true,
            Form::Float(f) => f.fract().abs() == 0.0,
            Form::Decimal(repr) => repr.is_int(),
        }
    }

    fn is_zero(&self) -> bool {
        matches!(self.0, Form::Int(0))
    }

    fn from_repr(repr: Repr<10>) -> Result<Self, NumberError> {
        if repr.significand().is_zero() {
            return Ok(Self(Form::Int(0)));
        }
        let digits = repr.digits();
        let exponent = repr.exponent();
        if repr.is_infinite() || digits > 2 * MAX_DIGITS || exponent.unsigned_abs() > 2 * MAX_DIGITS
        {
            return Err(NumberError::OutOfRange);
        }
        if exponent >= 0
            && digits.saturating_add(exponent.unsigned_abs()) <= 19
            && let Ok(small) = i64::try_from(repr.to_int().value())
        {
            return Ok(Self(Form::Int(small)));
        }
        Ok(Self(Form::Decimal(Arc::new(repr))))
    }

    /// The exact decimal; of a float the shortest one that names it, which is what its sender wrote.
    fn to_repr(&self) -> Repr<10> {
        match &self.0 {
            Form::Int(n) => DBig::from(*n).into_repr(),
            Form::Float(f) => {
                DBig::from_str(&format!("{f:e}")).map_or_else(|_| Repr::zero(), DBig::into_repr)
            }
            Form::Decimal(repr) => (**repr).clone(),
        }
    }

    fn arithmetic(
        &self,
        other: &Self,
        small: impl Fn(i64, i64) -> Option<i64>,
        float: impl Fn(f64, f64) -> f64,
        exact: impl Fn(&Repr<10>, &Repr<10>) -> FpResult<FBig<HalfEven, 10>>,
    ) -> Result<Self, NumberError> {
        match (&self.0, &other.0) {
            (Form::Int(a), Form::Int(b)) => {
                if let Some(n) = small(*a, *b) {
                    return Ok(Self(Form::Int(n)));
                }
            }
            (Form::Float(a), Form::Float(b)) => {
                return Self::from_f64(float(*a, *b)).ok_or(NumberError::OutOfRange);
            }
            (Form::Int(_) | Form::Float(_) | Form::Decimal(_), _) => {}
        }
        let result =
            exact(&self.to_repr(), &other.to_repr()).map_err(|_| NumberError::OutOfRange)?;
        Self::from_repr(result.value().into_repr())
    }

    /// `self + other`
    pub fn add(&self, other: &Self) -> Result<Self, NumberError> {
        self.arithmetic(
            other,
            i64::checked_add,
            |a, b| a + b,
            |a, b| Context::<HalfEven>::new(0).add(a, b),
        )
    }

    /// `self - other`
    pub fn sub(&self, other: &Self) -> Result<Self, NumberError> {
        self.arithmetic(
            other,
            i64::checked_sub,
            |a, b| a - b,
            |a, b| Context::<HalfEven>::new(0).sub(a, b),
        )
    }

    /// `self * other`
    pub fn mul(&self, other: &Self) -> Result<Self, NumberError> {
        self.arithmetic(
            other,
            i64::checked_mul,
            |a, b| a * b,
            |a, b| Context::<HalfEven>::new(0).mul(a, b),
        )
    }

    /// `self / other`; exact where the quotient ends, else rounded to 34 digits.
    pub fn div(&self, other: &Self) -> Result<Self, NumberError> {
        if other.is_zero() {
            return Err(NumberError::DivisionByZero);
        }
        let whole = |a: i64, b: i64| {
            (a.checked_rem(b) == Some(0))
                .then(|| a.checked_div(b))
                .flatten()
        };
        self.arithmetic(
            other,
            whole,
            |a, b| a / b,
            |a, b| {
                // A whole quotient of large numbers has more digits than 34; it must not lose them.
                let wide = Context::<HalfEven>::new(PRECISION.max(a.digits() + PRECISION));
                let quotient = wide.div(a, b)?.value();
                let back = Context::<HalfEven>::new(0).mul(quotient.repr(), b)?.value();
                if back.repr() == a {
                    return Context::<HalfEven>::new(0).add(quotient.repr(), &Repr::zero());
                }
                Context::<HalfEven>::new(PRECISION).div(a, b)
            },
        )
    }

    /// `self % other`, with the sign of `self`.
    pub fn rem(&self, other: &Self) -> Result<Self, NumberError> {
        if other.is_zero() {
            return Err(NumberError::DivisionByZero);
        }
        if let (Form::Int(a), Form::Int(b)) = (&self.0, &other.0) {
            return Ok(Self(Form::Int(a.checked_rem(*b).unwrap_or(0))));
        }
        let (a, b) = (self.to_repr(), other.to_repr());
        let remainder = Context::<Zero>::new(4 * MAX_DIGITS)
            .rem(&a, &b)
            .map_err(|_| NumberError::OutOfRange)?;
        Self::from_repr(remainder.value().into_repr())
    }

    /// `-self`
    pub fn neg(&self) -> Result<Self, NumberError> {
        Self::from(0_i64).sub(self)
    }
}

impl From<i64> for Number {
    fn from(n: i64) -> Self {
        Self(Form::Int(n))
    }
}

impl From<u64> for Number {
    fn from(n: u64) -> Self {
        match i64::try_from(n) {
            Ok(small) => Self(Form::Int(small)),
            Err(_) => Self(Form::Decimal(Arc::new(Repr::from(n)))),
        }
    }
}

impl From<usize> for Number {
    fn from(n: usize) -> Self {
        Self::from(n as u64)
    }
}

impl From<u16> for Number {
    fn from(n: u16) -> Self {
        Self(Form::Int(n.into()))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Form::Int(a), Form::Int(b)) => a.cmp(b),
            (Form::Float(a), Form::Float(b)) => a.total_cmp(b),
            (Form::Decimal(a), Form::Decimal(b)) => a.cmp(b),
            (Form::Int(_) | Form::Float(_) | Form::Decimal(_), _) => {
                self.to_repr().cmp(&other.to_repr())
            }
        }
    }
}

impl fmt::Display for Number {
    /// Plain decimal, never with an exponent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Int(n) => f.write_str(itoa::Buffer::new().format(*n)),
            Form::Float(n) => write!(f, "{n}"),
            Form::Decimal(repr) => {
                let text = repr.significand().to_string();
                let (sign, digits) = match text.strip_prefix('-') {
                    Some(digits) => ("-", digits),
                    None => ("", text.as_str()),
                };
                let shift = repr.exponent().unsigned_abs();
                if repr.exponent() >= 0 {
                    write!(f, "{sign}{digits}{:0<shift$}", "")
                } else if digits.len() > shift {
                    let (whole, fraction) = digits.split_at(digits.len() - shift);
                    write!(f, "{sign}{whole}.{fraction}")
                } else {
                    write!(f, "{sign}0.{digits:0>shift$}")
                }
            }
        }
    }
}

/// The common case, up to 18 digits without point or exponent.
fn parse_small(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut n = 0_i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        n = n * 10 + i64::from(digit - b'0');
    }
    Some(if negative { -n } else { n })
}

/// Checks the grammar and returns the size of the exponent.
fn check_grammar(text: &[u8]) -> Option<usize> {
    let digits = |at: usize| text[at..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if !matches!(text.get(at), Some(b'e' | b'E')) {
        return (at == text.len()).then_some(0);
    }
    at += 1;
    at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
    let exponent = digits(at);
    if exponent == 0 || at + exponent != text.len() {
        return None;
    }
    let size = std::str::from_utf8(&text[at..]).ok()?;
    Some(size.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn text_is_plain_decimal() {
        for (given, wanted) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("1.50", "1.5"),
            ("1e3", "1000"),
            ("1e21", "1000000000000000000000"),
            ("1e-7", "0.0000001"),
            ("-12.5e-1", "-1.25"),
            ("9223372036854775808", "9223372036854775808"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("12345678901234567890123", "12345678901234567890123"),
        ] {
            assert_eq!(n(given).to_string(), wanted, "{given}");
        }
    }

    #[test]
    fn malformed_and_too_large() {
        for text in [
            "", "-", "+1", "1.", ".5", "0x1", "1_0", " 1", "1 ", "1e", "1e+", "inf", "NaN",
        ] {
            assert_eq!(Number::parse(text), Err(NumberError::Malformed), "{text}");
        }
        for text in ["1e999999999999999999999999", "1e-999999", "1e6000"] {
            assert_eq!(Number::parse(text), Err(NumberError::OutOfRange), "{text}");
        }
        let large = n("1e5000");
        let larger = large.mul(&large).unwrap();
        assert_eq!(larger.mul(&large), Err(NumberError::OutOfRange));
    }

    #[test]
    fn arithmetic_is_exact() {
        assert_eq!(n("0.1").add(&n("0.2")), Ok(n("0.3")));
        assert_eq!(
            n("9223372036854775807").add(&n("1")),
            Ok(n("9223372036854775808"))
        );
        assert_eq!(
            n("9223372036854775808").sub(&n("1")),
            Ok(n("9223372036854775807"))
        );
        assert_eq!(n("1e30").div(&n("1e29")), Ok(n("10")));
        assert_eq!(
            n("1234567890123456789012345678901234567890123").div(&n("1")),
            Ok(n("1234567890123456789012345678901234567890123"))
        );
        assert_eq!(n("7").div(&n("2")), Ok(n("3.5")));
        assert_eq!(
            n("1").div(&n("3")).unwrap().to_string(),
            "0.3333333333333333333333333333333333"
        );
        assert_eq!(
            n("-9223372036854775808").div(&n("-1")),
            Ok(n("9223372036854775808"))
        );
        assert_eq!(
            n("-9223372036854775808").neg(),
            Ok(n("9223372036854775808"))
        );
    }

    #[test]
    fn modulo_has_the_sign_of_the_dividend() {
        for (a, b, wanted) in [
            ("10", "3", "1"),
            ("-7", "3", "-1"),
            ("7", "-3", "1"),
            ("5.5", "2", "1.5"),
            ("-5.5", "2", "-1.5"),
            ("-9223372036854775808", "-1", "0"),
            ("12345678901234567890123", "10", "3"),
        ] {
            assert_eq!(n(a).rem(&n(b)), Ok(n(wanted)), "{a} % {b}");
        }
        assert_eq!(n("1").rem(&n("0")), Err(NumberError::DivisionByZero));
        assert_eq!(n("0").div(&n("0")), Err(NumberError::DivisionByZero));
    }

    #[test]
    fn floats_of_bodies() {
        let f = |x| Number::from_f64(x).unwrap();
        assert_eq!(
            f(0.1).add(&f(0.2)).unwrap().to_string(),
            "0.30000000000000004"
        );
        assert_eq!(f(0.1).add(&n("0.2")).unwrap().to_string(), "0.3");
        assert_eq!(f(0.1), n("0.1"));
        assert_eq!(f(1000.0), n("1000"));
        assert_eq!(f(1e300).to_string().len(), 301);
        assert!(f(0.5) < n("1") && n("0.25") < f(0.5));
        assert!(Number::from_f64(f64::NAN).is_none());
    }
}
