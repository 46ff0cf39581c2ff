//! Formats numbers for readers: precision is two significant digits of the standard error.

/// Placeholder for a figure that did not pass its gate: not identifiable.
pub const NOT_IDENTIFIABLE: &str = "n.i.";
/// Placeholder where nothing was estimated.
pub const NOTHING: &str = "–";

/// Precision and notation of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Digits {
    /// This many decimals.
    Fixed(usize),
    /// This many decimals of the mantissa, with a power of ten.
    Scientific(usize),
}

impl Digits {
    /// With a standard error, its two significant digits; without, three significant digits of the figure.
    fn of(value: f64, se: Option<f64>) -> Self {
        let (scale, significant) = match se {
            Some(se) if se > 0.0 && se.is_finite() => (se, 2),
            _ if value != 0.0 => (value.abs(), 3),
            _ => (1.0, 2),
        };
        // Rounding may carry: the two digits of 0.0996 end at 0.10.
        let exponent = |v: f64, digits: i32| {
            let raw = v.log10().floor() as i32;
            let rounded = (v / 10f64.powi(raw + 1 - digits)).round();
            if rounded >= 10f64.powi(digits) { raw + 1 } else { raw }
        };
        let last = exponent(scale, significant) + 1 - significant;
        let largest = value.abs().max(scale);
        // A tiny standard error from rounding does not warrant a power of ten for a figure near one.
        if largest >= 1e7 || (last < -5 && largest < 1e-3) {
            let first = largest.log10().floor() as i32;
            return Self::Scientific((first - last).clamp(0, 6) as usize);
        }
        Self::Fixed((-last).clamp(0, 6) as usize)
    }

    fn show(self, value: f64) -> String {
        if !value.is_finite() {
            return NOTHING.to_owned();
        }
        let text = match self {
            Self::Fixed(decimals) => format!("{value:.decimals$}"),
            Self::Scientific(decimals) => format!("{value:.decimals$e}"),
        };
        signed(&text)
    }
}

/// Replaces the hyphen by a true minus sign, and drops the sign of zero.
fn signed(text: &str) -> String {
    let zero = text
        .trim_start_matches('-')
        .split('e')
        .next()
        .is_none_or(|m| !m.contains(|c| matches!(c, '1'..='9')));
    match text.strip_prefix('-') {
        Some(rest) if zero => rest.replace('-', "−"),
        _ => text.replace('-', "−"),
    }
}

/// Formats a number to the precision of its standard error.
pub fn number(value: f64, se: Option<f64>) -> String {
    Digits::of(value, se).show(value)
}

/// `0.610 [0.532, 0.688]`: a value with its interval, to the precision of its standard error; a one-sided bound as
/// `[≥ 0.545]`.
pub fn interval(value: f64, (lo, hi): (Option<f64>, Option<f64>), se: Option<f64>) -> String {
    let digits = Digits::of(value, se);
    match (lo, hi) {
        (Some(lo), Some(hi)) => format!("{} [{}, {}]", digits.show(value), digits.show(lo), digits.show(hi)),
        (Some(lo), None) => format!("{} [≥ {}]", digits.show(value), digits.show(lo)),
        (None, Some(hi)) => format!("{} [≤ {}]", digits.show(value), digits.show(hi)),
        (None, None) => digits.show(value),
    }
}

/// Formats a value; "–" if missing.
pub fn optional(value: Option<f64>, se: Option<f64>) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| number(value, se))
}

/// Formats a p-value: `< 0.001`, otherwise two significant digits.
pub fn p(p: Option<f64>) -> String {
    match p {
        Some(p) if p < 0.001 => "< 0.001".to_owned(),
        Some(p) if p.is_finite() => {
            let decimals = if p < 0.0995 { if p < 0.00995 { 4 } else { 3 } } else { 2 };
            format!("{p:.decimals$}")
        }
        _ => NOTHING.to_owned(),
    }
}

/// Formats a share as a whole percentage: `40 %`. Tenths of a percent are noise in a sentence.
pub fn percent(share: f64) -> String {
    format!("{} %", signed(&format!("{:.0}", 100.0 * share)))
}

/// Formats the size of a share like [`percent`], or as `less than 1 %` if that would round to 0.
pub fn size(share: f64) -> String {
    match share.abs() {
        s if s < 0.01 => "less than 1 %".to_owned(),
        s => percent(s),
    }
}

/// Formats counts with a thin space between thousands: `12 000`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && digits.len() > 4 {
            out.push('\u{202f}');
        }
        out.push(c);
    }
    out
}

/// Formats a count with its noun: `1 prompt`, `3 prompts`.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_of_the_standard_error_decide() {
        for (value, se, shown) in [
            (0.612_34, 0.041, "0.612"),
            (0.612_34, 0.41, "0.61"),
            (-0.612_34, 0.0996, "−0.61"),
            (153.24, 12.3, "153"),
            (12.345, 4.4, "12.3"),
            (-0.0004, 0.02, "0.000"),
            (1.234e-8, 2.5e-9, "1.23e−8"),
            (123_456_789.0, 1.0e6, "1.235e8"),
            (1.000_95, 3.0e-9, "1.000950"),
            (0.0, 3.0e-9, "0.0e0"),
        ] {
            assert_eq!(number(value, Some(se)), shown, "{value} ± {se}");
        }
        assert_eq!(number(0.123_45, None), "0.123");
        assert_eq!(number(0.0, None), "0.0");
        assert_eq!(number(f64::NAN, Some(0.1)), "–");
    }

    #[test]
    fn p_values_and_counts_are_short() {
        assert_eq!(p(Some(0.0)), "< 0.001");
        assert_eq!(p(Some(0.0234)), "0.023");
        assert_eq!(p(Some(0.2)), "0.20");
        assert_eq!(p(None), "–");
        assert_eq!(count(1234), "1234");
        assert_eq!(counted(12_345, "prompt"), "12\u{202f}345 prompts");
        assert_eq!(percent(0.4012), "40 %");
    }
}
