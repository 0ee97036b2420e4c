//! How much memory this process is given for what it asks.

/// Asks for pages of 4 KiB and no larger ones, from here on: with 10,000 sessions a quarter of what
/// was resident were huge pages that held little. Without it all is as before, so a kernel that
/// refuses is no reason to say so.
pub fn use_small_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_gets_no_huge_pages() {
        use_small_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().unwrap());
    }
}
