//! People import.
