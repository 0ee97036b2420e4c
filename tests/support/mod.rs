//! What tests need and the program does not.
#![allow(dead_code)] // every test file is a program of its own and uses another part of this

pub mod browser;
