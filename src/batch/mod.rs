//! Experiments: the plan, the run store, resume.
