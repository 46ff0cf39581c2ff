//! The known-answer model: its world, its training, and the built-in models.

mod rlaif;
mod shipped;
mod training;
mod world;
