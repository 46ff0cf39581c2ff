//! Sentences of the report that interpret a figure: for each a report in which it stands, and one, as near to its
//! condition's boundary as can be, in which it must not.

mod constitutions;
mod first_lines;
mod judge;
mod notes;
mod pages;
mod several;
mod state;
mod values;
