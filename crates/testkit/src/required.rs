//! The environment variable `C10K_REQUIRE`: what must be available on this machine. Only this module reads it.

/// Whether `C10K_REQUIRE` requires something with these `names`. The variable is a comma-separated list. `all` or one
/// of the names requires it; `-NAME` excludes it from `all`.
#[must_use]
pub fn is_required(names: &[&str]) -> bool {
    std::env::var("C10K_REQUIRE").is_ok_and(|list| requires(&list, names))
}

fn requires(list: &str, names: &[&str]) -> bool {
    let mut words = list.split(',').map(str::trim);
    let wanted = words.clone().any(|word| word == "all" || names.contains(&word));
    wanted && !words.any(|word| word.strip_prefix('-').is_some_and(|name| names.contains(&name)))
}

#[cfg(test)]
mod tests {
    use super::requires;

    #[test]
    fn all_requires_everything_that_is_not_excluded() {
        assert!(requires("all", &["select"]));
        assert!(requires("all, -poll", &["select"]));
        assert!(!requires("all,-select", &["select"]));
        assert!(!requires("all,-select", &["event-loop", "select"]));
    }

    #[test]
    fn a_name_requires_only_itself() {
        assert!(requires("poll,select", &["select"]));
        assert!(!requires("poll", &["select"]));
        assert!(!requires("", &["select"]));
        assert!(!requires("-poll", &["select"]));
    }
}
