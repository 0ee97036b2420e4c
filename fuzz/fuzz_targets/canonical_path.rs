#![no_main]

vestibule_fuzz::target!(target);
