//! Ceremony.
