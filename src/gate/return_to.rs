//! Where to go after signing in.
