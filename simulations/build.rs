//! Exports this package's `getrandom`: libraries look the symbol up at run time, and would find the
//! C library's otherwise.

fn main() {
    println!("cargo:rustc-link-arg=-Wl,--export-dynamic-symbol=getrandom");
    println!("cargo:rerun-if-changed=build.rs");
}
