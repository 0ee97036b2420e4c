//! Signing in, as browsers see it: the portal's routers in process, real stores, a clock that is set.

mod clinic;
mod factor;
mod gallery;
mod handover;
mod own;
mod password;
mod portal;
