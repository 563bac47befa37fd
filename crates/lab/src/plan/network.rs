//! The settings of the network in which a cell runs.

use std::collections::BTreeMap;

use c10k_host::network::NetworkSetting;

use crate::experiment::options;

/// Takes the settings of the network out of the options of the server. If there are any, the cell runs in a network namespace of
/// its own.
pub(super) fn take_from(server: &mut BTreeMap<String, String>) -> Vec<NetworkSetting> {
    let settings = options::NETWORK.iter().filter_map(|&(name, path)| {
        let value = server.remove(name)?;
        Some(NetworkSetting { path, value })
    });
    settings.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_taken_from_the_options_of_the_server() {
        let pairs = [("workers", "4"), ("tcp-migrate-req", "1")];
        let mut server = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let settings = take_from(&mut server);
        let settings: Vec<_> = settings.iter().map(|set| (set.path, set.value.as_str())).collect();
        assert_eq!(settings, [("ipv4/tcp_migrate_req", "1")]);
        assert_eq!(server.keys().collect::<Vec<_>>(), ["workers"]);
        assert_eq!(take_from(&mut server), []);
    }
}
