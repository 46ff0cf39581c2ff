//! The packed forest of token segments: every shared token is computed once.
