//! The known-answer model: its world, its training, and what ships of it.

mod rlaif;
mod shipped;
mod training;
mod world;
