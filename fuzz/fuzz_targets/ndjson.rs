//! Feeds new bytes to `ndjson` of the product's fuzz functions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pushmesh::internals::fuzz("ndjson", data));
