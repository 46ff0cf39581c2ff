//! Residual streams and log-probabilities of responses, into observations.
