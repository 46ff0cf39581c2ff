//! Signals by which a system ends a program, heard as Ctrl-C is.

use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;

/// Calls `stop` for each SIGTERM, and for each SIGHUP unless it is ignored: `nohup` asks for a run to outlive its
/// terminal. Where signals cannot be heard, they end the program as they would have.
pub(super) fn listen(stop: fn()) {
    let wanted: &[i32] = if is_ignored(SIGHUP) { &[SIGTERM] } else { &[SIGTERM, SIGHUP] };
    let Ok(mut signals) = Signals::new(wanted) else { return };
    std::thread::spawn(move || {
        for _ in signals.forever() {
            stop();
        }
    });
}

/// Whether whoever started the program had it ignore a signal. Where that cannot be read, it did: a run that goes on is
/// the lesser harm.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    mask.is_none_or(|mask| mask >> (signal - 1) & 1 == 1)
}
