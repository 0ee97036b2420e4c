use super::*;
use crate::gate::product::ActivityRules;
use crate::gate::samples::{facts, patterns, plain_product};

#[test]
fn people_are_told_from_scripts() {
    let mut product = plain_product("billing");
    product.activity = ActivityRules {
        ignore: patterns(&["/poll/**", "/both"]),
        count: patterns(&["/api/typing", "/both"]),
    };
    let product = std::sync::Arc::new(product);
    for (line, expected) in [
        ("GET /", true),
        ("GET /api/list", false),
        ("HEAD /api/list", false),
        ("OPTIONS /api/list", false),
        ("POST /api/list", true),
        ("PUT /api/list", true),
        ("PATCH /api/list", true),
        ("DELETE /api/list", true),
        ("GET /poll", false),
        ("GET /Poll/news", false),
        ("POST /poll/news", false),
        ("GET /api/typing", true),
        ("GET /API/typing/", true),
        ("GET /both", true),
    ] {
        assert_eq!(counts(&facts(&product, line), &product), expected, "{line}");
        let background = Facts {
            background: true,
            ..facts(&product, line)
        };
        assert!(!counts(&background, &product), "{line} in the background");
        let upgrade = Facts {
            asks: Asks::Upgrade,
            ..facts(&product, line)
        };
        assert!(!counts(&upgrade, &product), "{line} as an upgrade");
    }
}
