//! The connections of a ring by number: a number is used again, a key is not.

use crate::peer::Peer;

/// A connection for good: the number that its requests carry, and which of its uses is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) number: u32,
    generation: u32,
}

#[derive(Debug, Default)]
struct Place {
    generation: u32,
    peer: Option<Peer>,
}

#[derive(Debug, Default)]
pub(crate) struct Peers {
    places: Vec<Place>,
    free: Vec<u32>,
}

impl Peers {
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Gives a connection a number.
    pub(crate) fn insert(&mut self, peer: Peer) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            // There are fewer descriptors than that.
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        });
        self.places[number as usize].peer = Some(peer);
        number
    }

    pub(crate) fn get(&mut self, number: u32) -> Option<&mut Peer> {
        self.places.get_mut(number as usize)?.peer.as_mut()
    }

    /// The connection of a key, and its number's present key.
    pub(crate) fn key(&self, number: u32) -> Option<Key> {
        let place = self.places.get(number as usize)?;
        place.peer.as_ref().map(|_| Key {
            number,
            generation: place.generation,
        })
    }

    /// Takes a connection off its number.
    pub(crate) fn remove(&mut self, number: u32) -> Option<Peer> {
        let place = self.places.get_mut(number as usize)?;
        let peer = place.peer.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(number);
        Some(peer)
    }

    /// All, with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Peer)> {
        let present = |(number, place)| Some((number, Option::as_ref(place)?));
        (0..)
            .zip(self.places.iter().map(|place| &place.peer))
            .filter_map(present)
    }
}
