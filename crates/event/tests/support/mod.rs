//! What the tests share.

use c10k_event::Mechanism;

/// Whether `C10K_REQUIRE` makes it a failure that `mechanism` cannot run here: `all` or its name asks for it, `-NAME`
/// takes it out of `all` (`signal-per-fd` runs in the guest where a kernel refuses tracing programs).
pub(crate) fn is_required(mechanism: Mechanism) -> bool {
    std::env::var("C10K_REQUIRE").is_ok_and(|list| {
        let mut words = list.split(',').map(str::trim);
        let wanted = words.clone().any(|word| word == "all" || word == mechanism.name());
        wanted && !words.any(|word| word.strip_prefix('-') == Some(mechanism.name()))
    })
}
