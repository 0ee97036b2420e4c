//! What a file that changed comes to while the gateway runs.

use super::*;
use crate::config::change::Change;

fn between(old: &str, new: &str) -> Change {
    Change::between(&read_text(old).unwrap(), &read_text(new).unwrap())
}

#[test]
fn what_is_followed_and_what_waits_is_told_by_its_key() {
    let new = SMALL
        .replace("127.0.0.1:8443", "127.0.0.1:9443")
        .replace("primary = true", "primary = true\nidle = \"1h\"");
    let new = format!(
        "{new}[products.billing]\nurl = \"https://billing.example.org\"\nbackends = [\"http://127.0.0.1:9002\"]\n\
         [session]\nidle = \"1h\"\n[limits]\nhead = \"3s\"\n"
    );
    let change = between(SMALL, &new);
    assert_eq!(
        change.followed,
        ["session", "products.billing", "products.emr"]
    );
    assert_eq!(change.waiting, ["listen.https", "limits.head"]);
    assert_eq!(between(SMALL, SMALL), Change::default());
}

#[test]
fn what_waits_stays_as_it_is_and_what_is_the_same_is_the_same_one() {
    let old = read_text(SMALL).unwrap();
    let new = SMALL
        .replace("127.0.0.1:8443", "127.0.0.1:9443")
        .replace("[portal]\n", "[portal]\ntitle = \"New\"\n");
    let settings = read_text(&new).unwrap().following(&old).unwrap();
    assert_eq!(settings.listen, old.listen);
    assert_eq!(settings.portal.title, "New");
    let same = std::sync::Arc::ptr_eq(settings.products.primary(), old.products.primary());
    assert!(
        same,
        "nothing is made anew for a product that did not change"
    );
}
