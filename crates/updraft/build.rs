//! Links the binary at a fixed address on Linux.
//!
//! A position-independent binary of this size has 70,000 addresses to relocate before `main`, which touches 400 pages of every role and costs
//! 2 ms of each command and each sandbox; at a fixed address there is nothing to relocate. Stack, heap and libraries are still placed at
//! random. See docs/adr.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    let gnu = std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "gnu");
    if linux && gnu {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
