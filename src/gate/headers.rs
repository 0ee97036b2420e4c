//! Header names in normal form.
