//! Whether a page's Content-Security-Policy lets the bar's script run (CSP Level 3). Where it does
//! not, the page is left alone: a blocked script would only fill the application's reports.

/// `lines`: each `Content-Security-Policy` header. `authority`: `host[:port]` of the page, by https.
pub fn allows_bar<'a>(lines: impl Iterator<Item = &'a [u8]>, authority: &str) -> bool {
    // Every policy must allow it, and one line can hold several (CSP 3, 4.1).
    lines
        .flat_map(|line| line.split(|byte| *byte == b','))
        .all(|policy| std::str::from_utf8(policy).is_ok_and(|policy| one_allows(policy, authority)))
}

fn one_allows(policy: &str, authority: &str) -> bool {
    let policy = policy.to_ascii_lowercase();
    let directive = |name: &str| {
        // Of several with one name the first counts (CSP 3, 2.2.1).
        policy.split(';').find_map(|directive| {
            let mut words = directive.split_ascii_whitespace();
            (words.next() == Some(name)).then(|| words.collect::<Vec<_>>())
        })
    };
    let scripts = directive("script-src-elem")
        .or_else(|| directive("script-src"))
        .or_else(|| directive("default-src"));
    let connections = directive("connect-src").or_else(|| directive("default-src"));
    let sandboxed = directive("sandbox").is_some_and(|allowed| {
        !allowed.contains(&"allow-scripts") || !allowed.contains(&"allow-same-origin")
    });
    !sandboxed
        && directive("require-sri-for").is_none()
        && scripts.is_none_or(|sources| {
            !sources.contains(&"'strict-dynamic'") && has_own(&sources, authority)
        })
        && connections.is_none_or(|sources| has_own(&sources, authority))
}

fn has_own(sources: &[&str], authority: &str) -> bool {
    sources.iter().any(|source| {
        ["'self'", "*", "https:"].contains(source)
            || source.strip_prefix("https://").unwrap_or(source) == authority
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_goes_where_its_script_may_run_and_ask() {
        let allows =
            |lines: &[&str]| allows_bar(lines.iter().map(|line| line.as_bytes()), "emr.test:8443");
        for open in [
            &[][..],
            &["img-src 'none'"],
            &["default-src 'self'"],
            &["script-src 'self'"],
            &["Script-Src 'SELF' 'nonce-x'; connect-src *"],
            &["default-src 'none'; script-src https:; connect-src 'self'"],
            &["default-src 'none'; script-src https://emr.test:8443; connect-src emr.test:8443"],
            &["script-src 'self', default-src 'self'"],
            &["default-src 'none'; script-src-elem 'self'; script-src 'none'; connect-src 'self'"],
            &["sandbox allow-scripts allow-same-origin"],
        ] {
            assert!(allows(open), "{open:?}");
        }
        for shut in [
            &["default-src 'none'"][..],
            &["script-src 'none'"],
            &["script-src 'nonce-x'"],
            &["script-src 'self' 'nonce-x' 'strict-dynamic'"],
            &["script-src 'self'; connect-src https://api.test"],
            &["default-src 'none'; script-src 'self'"],
            &["script-src 'self'", "script-src 'none'"],
            &["script-src 'self', script-src 'none'"],
            &["script-src 'none'; script-src 'self'"],
            &["script-src"],
            &["sandbox allow-forms"],
            &["require-sri-for script"],
            &["script-src https://emr.test"],
        ] {
            assert!(!allows(shut), "{shut:?}");
        }
    }
}
