//! Who works on the command line: a machine has several operators, and the audit trail names the one.

use std::fs;

/// In the trail that companies' admins read, which is no business of theirs beyond that.
pub const OPERATOR: &str = "operator";

/// `operator ana@gateway-1`: the system's user, and the machine. Who became another user after signing in
/// to the machine is named as who they signed in as, where the kernel keeps that. Nothing of it is
/// believed from the environment, which anybody can set.
pub fn operator() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let user = user(
        &fs::read_to_string("/etc/passwd").unwrap_or_default(),
        uid(),
    );
    named(&user, host.trim())
}

fn named(user: &str, host: &str) -> String {
    let plain =
        |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(64).collect() };
    match host {
        "" => format!("{OPERATOR} {}", plain(user)),
        host => format!("{OPERATOR} {}@{}", plain(user), plain(host)),
    }
}

fn uid() -> u32 {
    let login = fs::read_to_string("/proc/self/loginuid").ok();
    let login = login.and_then(|text| text.trim().parse().ok());
    // The kernel's word for "nobody signed in": a service, or a container.
    let login = login.filter(|uid| *uid != u32::MAX);
    login.unwrap_or_else(|| rustix::process::getuid().as_raw())
}

/// The name of a uid, or the uid itself where the system doesn't name it.
fn user(passwd: &str, uid: u32) -> String {
    let wanted = uid.to_string();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == wanted).then(|| name.to_owned())
    });
    named.unwrap_or(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_as_the_system_names_them() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\n";
        assert_eq!(user(passwd, 1000), "ana");
        assert_eq!(user(passwd, 0), "root");
        assert_eq!(user(passwd, 1001), "1001");
        assert_eq!(named("ana", "gateway-1"), "operator ana@gateway-1");
        assert_eq!(named("a\nna", ""), "operator ana");
    }
}
