//! The `pushmesh` binary.

fn main() {
    eprintln!("pushmesh: the commands follow");
}
