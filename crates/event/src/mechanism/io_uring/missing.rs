//! Takes the place of the backend in a build without the feature `io-uring`.

use crate::{OpenError, Options, Unavailable, mechanism::kernel::Kernel};

const FEATURE: &str = "io-uring";

pub(super) fn open(mechanism: &'static str, _options: &Options) -> Result<Kernel, OpenError> {
    Err(OpenError::Unavailable {
        mechanism,
        reason: Unavailable::FeatureMissing { feature: FEATURE },
    })
}
