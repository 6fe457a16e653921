//! Variables of the environment. An empty one is not set: that is what `KEY=` in a unit file and `${KEY:-}` in a compose
//! file come to.

/// The value of a variable that is set, without white space around it.
pub(crate) fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// Whether a variable is set to nothing, or to white space.
#[cfg(feature = "cli")]
pub(crate) fn is_empty(name: &std::ffi::OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| value.as_encoded_bytes().trim_ascii().is_empty())
}
