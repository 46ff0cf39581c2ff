//! Formats numbers for people: three digits and a unit.

/// `999`, `25.6 k`, `1.23 M`: three digits and a power of a thousand.
pub fn compact(n: f64) -> String {
    let (value, unit) = match n.abs() {
        a if a < 999.5 => (n, ""),
        a if a < 999.5e3 => (n / 1e3, " k"),
        a if a < 999.5e6 => (n / 1e6, " M"),
        a if a < 999.5e9 => (n / 1e9, " G"),
        _ => (n / 1e12, " T"),
    };
    let digits = match value.abs() {
        a if a >= 99.95 || unit.is_empty() && a >= 9.95 => 0,
        a if a >= 9.995 || unit.is_empty() => 1,
        _ => 2,
    };
    if unit.is_empty() && n.fract() == 0.0 { format!("{n:.0}") } else { format!("{value:.digits$}{unit}") }
}

/// `< 1 s`, `12 s`, `3 min`, `2.5 h`, `3.1 d`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => "< 1 s".to_owned(),
        s if s < 119.5 => format!("{s:.0} s"),
        s if s < 119.5 * 60.0 => format!("{:.0} min", s / 60.0),
        s if s < 48.0 * 3600.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

/// Formats an estimated duration: `less than 1 s`, `about 3 min`.
pub fn about(seconds: f64) -> String {
    if seconds < 1.0 { "less than 1 s".to_owned() } else { format!("about {}", duration(seconds)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (n, shown) in [
            (0.0, "0"),
            (7.0, "7"),
            (3.27, "3.3"),
            (12.6, "13"),
            (999.4, "999"),
            (999.6, "1.00 k"),
            (1234.0, "1.23 k"),
            (25_612.0, "25.6 k"),
            (123_456.0, "123 k"),
            (999_600.0, "1.00 M"),
            (20.6e12, "20.6 T"),
        ] {
            assert_eq!(compact(n), shown, "{n}");
        }
    }

    #[test]
    fn durations_are_in_the_unit_that_fits() {
        for (s, shown) in [
            (0.2, "< 1 s"),
            (119.0, "119 s"),
            (119.6, "2 min"),
            (3599.0, "60 min"),
            (9000.0, "2.5 h"),
            (86_400.0 * 3.1, "3.1 d"),
        ] {
            assert_eq!(duration(s), shown, "{s}");
        }
        assert_eq!((about(0.9), about(180.0)), ("less than 1 s".into(), "about 3 min".into()));
    }
}
