//! gateway.toml: read as it stands, then made into [`Settings`](settings::Settings).

pub mod problem;
pub mod settings;
