//! Feeds new bytes to `certificate` of the product's fuzz functions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pushmesh::internals::fuzz("certificate", data));
