//! What reads strangers' bytes, from the files that the gateway itself is built of, under the same names.

#![allow(dead_code, unused_imports)]

#[path = "../../../src/config/mod.rs"]
pub mod config;
#[path = "../../../src/gate/mod.rs"]
pub mod gate;
#[path = "../../../src/policies/mod.rs"]
pub mod policies;

#[path = "../../../src/directory"]
pub mod directory {
    pub mod import {
        mod authenticator;
        mod fields;
        mod problem;
        mod records;

        pub use problem::Problem;
        pub use records::problems_of;
    }

    #[path = "passwords"]
    pub mod passwords {
        mod stored;

        pub use stored::{InvalidHash, LONGEST_PASSWORD, PasswordHash};
    }

    pub use passwords::PasswordHash;
}

#[path = "../../../src/proxy"]
pub mod proxy {
    pub mod bar {
        mod page;

        pub use page::{ELEMENT, Page};
    }
}
