//! Programs that Debian has no package of.

use std::path::Path;
use std::process::Command;

/// Where `tools/program` has it.
pub fn fetched(name: &str) -> String {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/program");
    let told = Command::new(tool)
        .arg(name)
        .output()
        .expect("tools/program");
    assert!(
        told.status.success(),
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
    String::from_utf8(told.stdout).unwrap().trim().to_owned()
}
