//! Durations and sizes as the language writes them.

use std::time::Duration;

/// Parses `300ms`, `1.5h`, `2h45m`, `0`; units `ns us µs ms s m h`. Negative ones are refused.
pub fn parse(text: &str) -> Result<Duration, &'static str> {
    parse_units(text, false)
}

/// The same with a unit more: `d`, 24 hours.
pub fn parse_with_days(text: &str) -> Result<Duration, &'static str> {
    parse_units(text, true)
}

fn parse_units(text: &str, days: bool) -> Result<Duration, &'static str> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.starts_with('-') {
        return Err("it is negative");
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err("it is empty");
    }
    let mut seconds = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| "a number is missing")?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        seconds += number
            * match &rest[..unit] {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" if days => 86_400.0,
                "" => return Err("a unit is missing"),
                _ => return Err("the unit is unknown"),
            };
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| "it is too long")
}

/// A duration in the notation of [`parse`]: `1h30m0s`, `10s`, `300ms`.
pub fn show(duration: Duration) -> String {
    let nanos = duration.subsec_nanos();
    if duration.as_secs() == 0 && nanos > 0 {
        return match nanos {
            1_000_000.. => format!("{}ms", f64::from(nanos) / 1e6),
            1_000.. => format!("{}µs", f64::from(nanos) / 1e3),
            _ => format!("{nanos}ns"),
        };
    }
    let (minutes, seconds) = (duration.as_secs() / 60, duration.as_secs() % 60);
    let fraction = if nanos == 0 {
        String::new()
    } else {
        format!("{:.9}", f64::from(nanos) / 1e9)
            .trim_start_matches('0')
            .trim_end_matches('0')
            .into()
    };
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}{fraction}s"),
        (0, minutes) => format!("{minutes}m{seconds}{fraction}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}{fraction}s"),
    }
}

/// Parses a size: a number, fraction allowed, optional blank, optional unit in any case. `KB` is
/// 1000 and `KiB` 1024 bytes; a bare number counts bytes.
pub fn parse_size(text: &str) -> Result<u64, &'static str> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..digits]
        .parse()
        .map_err(|_| "it does not start with a number")?;
    let unit = text[digits..].trim_start().to_ascii_lowercase();
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1000_u64.pow(2),
        "g" | "gb" => 1000_u64.pow(3),
        "t" | "tb" => 1000_u64.pow(4),
        "p" | "pb" => 1000_u64.pow(5),
        "kib" | "ki" => 1 << 10,
        "mib" | "mi" => 1 << 20,
        "gib" | "gi" => 1 << 30,
        "tib" | "ti" => 1 << 40,
        "pib" | "pi" => 1 << 50,
        _ => return Err("its unit is unknown"),
    };
    // Exact for every size that fits 53 bits (8 PiB), far beyond any limit worth setting.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    let bytes = (number * factor as f64).round() as u64;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_the_notation() {
        for (text, millis) in [
            ("0", 0),
            ("300ms", 300),
            ("1.5s", 1500),
            ("1h30m", 5_400_000),
            ("2m0.5s", 120_500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "-1s", "1x", "s", "1.2.3s", "ten", "1 s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_in_the_same_notation() {
        for text in ["10s", "1h30m0s", "1m0s", "300ms", "1.5s", "0s"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_with_and_without_units() {
        for (text, bytes) in [
            ("10", 10),
            ("5KB", 5000),
            ("64MiB", 64 << 20),
            ("1.5 MB", 1_500_000),
            ("1k", 1000),
            ("2gib", 2 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "much", "5 XB", "-1"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
