//! How the bit sets of this crate are printed.

use std::fmt;

/// Writes the names of the bits that are set, joined by `|`, or `nothing` if none is set.
pub(crate) fn debug<const N: usize>(
    formatter: &mut fmt::Formatter<'_>,
    nothing: &str,
    names: [(bool, &str); N],
) -> fmt::Result {
    let mut set = names.into_iter().filter_map(|(set, name)| set.then_some(name));
    formatter.write_str(set.next().unwrap_or(nothing))?;
    set.try_for_each(|name| write!(formatter, "|{name}"))
}
