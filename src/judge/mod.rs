//! Forced choices under a constitution, both orders.
