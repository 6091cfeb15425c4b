//! backfiller.
