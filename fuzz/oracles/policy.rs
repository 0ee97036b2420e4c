//! A policy file. A second reader would be a second reader of all its keys; what can be said without
//! one is what must hold of any file and its changed copies.

use std::path::Path;

use vestibule::config::ProductIds;
use vestibule::gate::name::ProductId;
use vestibule::policies::read_policy;

pub const WORDS: &[&str] = &[
    "name = \"Acme\"\n",
    "timezone = \"America/New_York\"\n",
    "[mfa]\n",
    "mode = \"required\"\n",
    "mode = \"off\"\n",
    "methods = [\"totp\"]\n",
    "methods = []\n",
    "remember_device = \"30d\"\n",
    "[session]\n",
    "idle = \"1h\"\n",
    "maximum = \"0s\"\n",
    "[products.emr]\n",
    "[products.nothing]\n",
    "[[rules]]\n",
    "action = \"deny\"\n",
    "action = \"step_up\"\n",
    "within = \"15m\"\n",
    "paths = [\"/a/**\"]\n",
    "paths = \"/a\"\n",
    "networks = [\"10.0.0.0/8\"]\n",
    "except = { roles = [\"x\"] }\n",
    "hours = \"Mon-Fri 07:00-19:00\"\n",
    "hours = \"Mon\"\n",
    "[password]\n",
    "maximum_age = \"90d\"\n",
    "sms_prefixes = [\"+1\"]\n",
    "messages_per_day = -1\n",
    "# x\n",
    "\"",
    "'''",
    "=",
    "\n",
    "[",
    "]",
    "\u{0}",
    "[rules]\n",
    "a.b.c = 1\n",
    "9999999999999999999999",
    "\"\"\"\n",
    "\r",
];

pub fn check(raw: &[u8]) {
    let Ok(text) = std::str::from_utf8(raw) else {
        return;
    };
    let products = ProductIds::of(["emr", "billing"].map(|id| ProductId::parse(id).unwrap()));
    let read = |text: &str| read_policy(text, Path::new("acme.toml"), &products);
    let first = read(text);
    let toml = text.parse::<toml_edit::DocumentMut>();
    match &first {
        Ok(draft) => {
            let toml = toml.unwrap_or_else(|error| panic!("no TOML, and taken: {error}\n{text}"));
            // Read again, or with a remark at its end, it says the same.
            assert_eq!(read(text).as_ref().ok(), Some(draft), "{text}");
            let remarked = format!("{text}\n# the end\n");
            assert_eq!(read(&remarked).as_ref().ok(), Some(draft), "{text}");
            // Nothing that is unknown is passed over, wherever it stands.
            assert!(
                read(&format!("zzz = 1\n{text}")).is_err(),
                "an unknown key is passed over:\n{text}"
            );
            assert!(
                read(&format!("{text}\n[zzz]\n")).is_err(),
                "an unknown table is passed over:\n{text}"
            );
            let known = [
                "name", "timezone", "mfa", "password", "session", "products", "rules",
            ];
            for (key, _) in toml.iter() {
                assert!(known.contains(&key), "{key} is taken:\n{text}");
            }
            // Written anew by another program, it says the same.
            assert_eq!(read(&toml.to_string()).as_ref().ok(), Some(draft), "{text}");
        }
        Err(problems) => {
            assert!(
                !problems.to_string().is_empty(),
                "refused without a word:\n{text}"
            );
            assert!(
                // In TOML a carriage return alone is no line end, and blank is a space or a tab and nothing else.
                text.contains('\r')
                    || text
                        .lines()
                        .any(|line| !line.trim_matches([' ', '\t']).is_empty()),
                "an empty file is refused"
            );
        }
    }
}
