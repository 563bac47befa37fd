//! The cases, one file per subject.

mod bits;
mod files;
mod keys;
mod limits;
mod placement;
mod room;
mod time;
mod triggers;
mod wakers;

use crate::Case;

/// Every case of the contract.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    [
        triggers::CASES,
        keys::CASES,
        bits::CASES,
        files::CASES,
        room::CASES,
        time::CASES,
        wakers::CASES,
        placement::CASES,
        limits::CASES,
    ]
    .into_iter()
    .flatten()
}

/// `cases! { name: about, isolation; … }`: one row per function.
macro_rules! cases {
    ($($name:ident: $about:expr, $isolation:expr;)*) => {
        pub(crate) const CASES: &[$crate::Case] = &[$($crate::Case {
            name: stringify!($name),
            about: $about,
            isolation: $isolation,
            run: $name,
        },)*];
    };
}
use cases;
