//! Where the three applications point to; told to them, like everything that is not theirs.

/// One entry of an application's menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub text: String,
    pub href: String,
}

/// The menu, and what else leads out of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// The other applications.
    pub apps: Vec<Link>,
    /// Where a sign-out form posts to. `None`: the application signs out by itself.
    pub sign_out: Option<String>,
    /// The person's own page, when somebody else keeps it.
    pub account: Option<String>,
}

const APPS: [(&str, &str); 3] = [
    ("emr", "EMR"),
    ("billing", "Billing"),
    ("analytics", "Analytics"),
];

impl Links {
    /// For applications that are reached at their own addresses, each signing in by itself.
    pub fn direct(emr: &str, billing: &str, analytics: &str) -> Links {
        let apps = APPS
            .iter()
            .zip([emr, billing, analytics])
            .map(|((_, text), href)| Link {
                text: (*text).to_owned(),
                href: href.to_owned(),
            })
            .collect();
        Links {
            apps,
            sign_out: None,
            account: None,
        }
    }

    /// For applications behind a gateway that switches between them and signs out of all at once;
    /// `portal` is the address of its own pages, such as `https://login.localhost:8443`.
    pub fn through_gateway(portal: &str) -> Links {
        let apps = APPS
            .iter()
            .map(|(id, text)| Link {
                text: (*text).to_owned(),
                href: format!("/.vestibule/switch?to={id}"),
            })
            .collect();
        Links {
            apps,
            sign_out: Some(String::from("/.vestibule/sign_out")),
            account: Some(format!("{}/account", portal.trim_end_matches('/'))),
        }
    }
}
