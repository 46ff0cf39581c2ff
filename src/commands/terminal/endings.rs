//! Termination signals, handled like Ctrl-C.

use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::iterator::Signals;

/// Calls `stop` for each SIGTERM, and for each SIGHUP unless it is ignored, as it is under `nohup`. If handlers
/// cannot be registered, the signals end the program as usual.
pub(super) fn listen(stop: fn()) {
    let wanted: &[i32] = if is_ignored(SIGHUP) { &[SIGTERM] } else { &[SIGTERM, SIGHUP] };
    let Ok(mut signals) = Signals::new(wanted) else { return };
    std::thread::spawn(move || {
        for _ in signals.forever() {
            stop();
        }
    });
}

/// Whether the parent process set a signal to be ignored. Assumes so if this cannot be read, because continuing a run
/// does less harm than ending it.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    mask.is_none_or(|mask| mask >> (signal - 1) & 1 == 1)
}
