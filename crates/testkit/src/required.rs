//! What the environment variable `C10K_REQUIRE` makes of something that is unavailable here: the one place that reads it.

/// Whether `C10K_REQUIRE` makes it a failure that something cannot run here. It is a comma-separated list: `all`, or one of
/// the `names` that the thing goes by, asks for it; `-NAME` takes it out of `all`.
#[must_use]
pub fn is_required(names: &[&str]) -> bool {
    std::env::var("C10K_REQUIRE").is_ok_and(|list| asks_for(&list, names))
}

fn asks_for(list: &str, names: &[&str]) -> bool {
    let mut words = list.split(',').map(str::trim);
    let wanted = words.clone().any(|word| word == "all" || names.contains(&word));
    wanted && !words.any(|word| word.strip_prefix('-').is_some_and(|name| names.contains(&name)))
}

#[cfg(test)]
mod tests {
    use super::asks_for;

    #[test]
    fn all_asks_for_everything_that_is_not_taken_out() {
        assert!(asks_for("all", &["select"]));
        assert!(asks_for("all, -poll", &["select"]));
        assert!(!asks_for("all,-select", &["select"]));
        assert!(!asks_for("all,-select", &["event-loop", "select"]));
    }

    #[test]
    fn a_name_asks_for_itself_only() {
        assert!(asks_for("poll,select", &["select"]));
        assert!(!asks_for("poll", &["select"]));
        assert!(!asks_for("", &["select"]));
        assert!(!asks_for("-poll", &["select"]));
    }
}
