#![no_main]

vestibule_fuzz::target!(return_to);
