//! Estimates to JSON, Markdown and HTML: numbers in, bytes out.
