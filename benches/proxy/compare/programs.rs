//! Programs of others: whether they are here, and which.

use std::path::PathBuf;
use std::process::Command;

/// What the whole comparison wants of Debian.
pub const APT: &str =
    "apt install nginx haproxy redis-server libnginx-mod-http-lua lua-nginx-redis lua-cjson";

/// What is here of it, by Debian's books.
const PACKAGES: [&str; 6] = [
    "nginx",
    "libnginx-mod-http-lua",
    "lua-nginx-redis",
    "lua-cjson",
    "haproxy",
    "redis-server",
];

/// Where a program is.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // Not in everybody's path.
    folders.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Everything that a program says, on both ways out.
pub fn words_of(name: &str, arguments: &[&str]) -> Option<String> {
    let done = Command::new(find(name)?).args(arguments).output().ok()?;
    let mut text = String::from_utf8_lossy(&done.stdout).into_owned();
    text += &String::from_utf8_lossy(&done.stderr);
    Some(text)
}

/// Packages and their versions; nothing on a machine that is no Debian.
pub fn packages() -> Vec<String> {
    let mut arguments = vec!["-W", "-f", "${Package} ${Version} ${db:Status-Status}\\n"];
    arguments.extend(PACKAGES);
    let text = words_of("dpkg-query", &arguments).unwrap_or_default();
    text.lines()
        .filter_map(|line| Some(line.strip_suffix(" installed")?.to_owned()))
        .collect()
}
