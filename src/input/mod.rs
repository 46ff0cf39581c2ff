//! What to ask: items, constitutions, experiments, checked once at the door.
