//! Linear probes: contrasts, leave-block-out twicing ridge, directions, intervals.
