//! A load of two requests: that of `path` or `reply`, and another one.

use std::collections::BTreeMap;

use crate::experiment::options;

/// Takes the options of the other request out of the load; returns the flags of `c10k load` that make the mix. The first row is
/// `path`. With a share of 0 the other row is there and is never requested.
pub(super) fn take_from(load: &mut BTreeMap<String, String>, path: &str) -> Option<Vec<String>> {
    let [other, share] = options::OTHER.map(|name| load.remove(name));
    let (other, share) = other.zip(share)?;
    let percent: u32 = share.parse().ok()?;
    let rows = [(100_u32.saturating_sub(percent), path), (percent, &other)];
    let flags = rows.map(|(weight, request)| ["--mix".to_owned(), format!("{weight}={request}")]);
    Some(flags.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_request_has_its_share_and_the_path_has_the_rest() {
        let of = |pairs: &[(&str, &str)]| {
            let mut load = pairs
                .iter()
                .map(|&(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            let flags = take_from(&mut load, "/bytes/92").map(|flags| flags.join(" "));
            (flags, load.into_keys().collect::<Vec<_>>().join(" "))
        };
        let other = ("other-path", "/file/{zipf:10}/cold");
        let flags = "--mix 90=/bytes/92 --mix 10=/file/{zipf:10}/cold".to_owned();
        assert_eq!(
            of(&[other, ("other-share", "10"), ("rate", "5")]),
            (Some(flags), "rate".to_owned())
        );
        let never = "--mix 100=/bytes/92 --mix 0=/file/{zipf:10}/cold".to_owned();
        assert_eq!(of(&[other, ("other-share", "0")]), (Some(never), String::new()));
        assert_eq!(of(&[other]), (None, String::new()));
    }
}
