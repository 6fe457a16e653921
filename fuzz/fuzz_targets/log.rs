//! Feeds new bytes to `log` of the product's fuzz functions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pushmesh::internals::fuzz("log", data));
