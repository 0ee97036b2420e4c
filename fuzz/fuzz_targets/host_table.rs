#![no_main]

vestibule_fuzz::target!(host);
