//! Progress lines of a long step where no bar can be drawn: one at its start and one every half minute. Receives the
//! time and prints nothing, so that it can be tested without waiting.

use std::time::Duration;

use super::numbers::{about, compact, duration};

/// Time between two lines.
pub const EVERY: Duration = Duration::from_secs(30);

/// Length of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// Number of units to do.
    Count(u64, &'static str),
    /// Estimated duration in seconds.
    Seconds(f64),
    /// Unknown length.
    Unknown,
}

/// A running step.
#[derive(Debug, Clone)]
pub struct Meter {
    step: String,
    length: Length,
    /// Units done in total, and by an earlier run.
    done: u64,
    already: u64,
    began: Duration,
    /// Time at which the last line was due, and the units done by then.
    last: (Duration, u64),
    lines: usize,
}

impl Meter {
    /// Starts a step, given the units done by an earlier run, and returns its first line.
    pub fn begin(step: &str, length: Length, already: u64, now: Duration) -> (Self, String) {
        let line = match length {
            Length::Count(total, unit) => {
                let before = if already > 0 {
                    format!(", {} of them there already", compact(already as f64))
                } else {
                    String::new()
                };
                format!("{step}: {} {unit}{before}", compact(total as f64))
            }
            Length::Seconds(s) => format!("{step}: {}", about(s)),
            Length::Unknown => step.to_owned(),
        };
        let step = step.to_owned();
        (Self { step, length, done: already, already, began: now, last: (now, already), lines: 0 }, line)
    }

    /// Adds `n` units done.
    pub fn advance(&mut self, n: u64) {
        self.done += n;
    }

    /// The line due at a time, if any.
    pub fn due(&mut self, now: Duration) -> Option<String> {
        if now.saturating_sub(self.last.0) < EVERY {
            return None;
        }
        let line = self.line(now);
        self.last = (now, self.done);
        self.lines += 1;
        Some(line)
    }

    /// The final line of a step long enough to have had others.
    pub fn end(&self, now: Duration) -> Option<String> {
        let took = duration(now.saturating_sub(self.began).as_secs_f64());
        (self.lines > 0).then(|| format!("{}: done in {took}", self.step))
    }

    /// Step, done and total, rate and time left.
    fn line(&self, now: Duration) -> String {
        let so_far = now.saturating_sub(self.began).as_secs_f64();
        match self.length {
            Length::Count(total, unit) => {
                let (done, step) = (compact(self.done as f64), &self.step);
                if total == 0 {
                    return format!("{step}: {done} {unit} in {}", duration(so_far));
                }
                let share = (100.0 * self.done as f64 / total as f64).min(100.0);
                let left = match self.rate(now) {
                    Some(rate) => {
                        let left = total.saturating_sub(self.done) as f64 / rate;
                        format!("{} {unit}/s, {} left", compact(rate), duration(left))
                    }
                    None => format!("{} so far", duration(so_far)),
                };
                format!("{step}: {done} of {} {unit} ({share:.0} %), {left}", compact(total as f64))
            }
            Length::Seconds(s) => {
                format!("{}: {} of {}", self.step, duration(so_far), about(s))
            }
            Length::Unknown => format!("{}: {} so far", self.step, duration(so_far)),
        }
    }

    /// Units per second since the last line, or since the start if none were done since. Excludes the units of an
    /// earlier run, which pass at once.
    fn rate(&self, now: Duration) -> Option<f64> {
        let over = |(from, done): (Duration, u64)| {
            let seconds = now.saturating_sub(from).as_secs_f64();
            (self.done > done && seconds > 0.0).then(|| (self.done - done) as f64 / seconds)
        };
        over(self.last).or_else(|| over((self.began, self.already)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_step_speaks_when_it_begins_and_every_half_minute_with_rate_and_time_left() {
        let (mut meter, first) = Meter::begin("capture", Length::Count(1_000_000, "tokens"), 0, at(5));
        assert_eq!(first, "capture: 1.00 M tokens");
        meter.advance(100_000);
        assert_eq!(meter.due(at(34)), None);
        assert_eq!(
            meter.due(at(35)).as_deref(),
            Some("capture: 100 k of 1.00 M tokens (10 %), 3.33 k tokens/s, 4 min left")
        );
        assert_eq!(meter.due(at(64)), None);
        // Slower now: the rate is that of the last half minute.
        meter.advance(30_000);
        assert_eq!(
            meter.due(at(65)).as_deref(),
            Some("capture: 130 k of 1.00 M tokens (13 %), 1.00 k tokens/s, 14 min left")
        );
        // A chunk that takes longer than half a minute still gets a line, with the overall rate.
        assert_eq!(
            meter.due(at(95)).as_deref(),
            Some("capture: 130 k of 1.00 M tokens (13 %), 1.44 k tokens/s, 10 min left")
        );
        assert_eq!(meter.end(at(125)).as_deref(), Some("capture: done in 2 min"));
    }

    #[test]
    fn what_cannot_be_counted_says_how_long_it_takes() {
        let (mut meter, first) = Meter::begin("fit", Length::Seconds(200.0), 0, at(0));
        assert_eq!(first, "fit: about 3 min");
        assert_eq!(meter.due(at(40)).as_deref(), Some("fit: 40 s of about 3 min"));
        let (mut meter, first) = Meter::begin("load the model", Length::Unknown, 0, at(0));
        assert_eq!(first, "load the model");
        assert_eq!(meter.end(at(20)), None, "short steps need no end");
        assert_eq!(meter.due(at(30)).as_deref(), Some("load the model: 30 s so far"));
    }

    #[test]
    fn what_was_there_already_does_not_count_as_fast() {
        let (mut meter, first) = Meter::begin("model.safetensors", Length::Count(1000, "B"), 400, at(0));
        assert_eq!(first, "model.safetensors: 1.00 k B, 400 of them there already");
        assert_eq!(
            meter.due(at(30)).as_deref(),
            Some("model.safetensors: 400 of 1.00 k B (40 %), 30 s so far")
        );
        meter.advance(300);
        assert_eq!(
            meter.due(at(60)).as_deref(),
            Some("model.safetensors: 700 of 1.00 k B (70 %), 10 B/s, 30 s left")
        );
    }
}
