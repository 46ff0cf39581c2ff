//! Sentences of the report that interpret a figure: for each a report that contains it, and one, as close to its
//! threshold as possible, that must not.

mod constitutions;
mod first_lines;
mod judge;
mod notes;
mod pages;
mod several;
mod state;
mod values;
