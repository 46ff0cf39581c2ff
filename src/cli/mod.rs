//! The command line: arguments in, text out; the only module that prints.
