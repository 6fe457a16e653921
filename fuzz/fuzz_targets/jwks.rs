//! Feeds new bytes to `jwks` of the product's fuzz functions.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pushmesh::internals::fuzz("jwks", data));
