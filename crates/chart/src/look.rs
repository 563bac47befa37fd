//! How a line looks: colour, dashes, marker.

use plotters::prelude::RGBColor;

pub(crate) struct Look {
    pub(crate) colour: RGBColor,
    /// As in `stroke-dasharray`; empty for a line without gaps.
    pub(crate) dashes: &'static str,
    pub(crate) marker: Marker,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Marker {
    Disc,
    Square,
    TriangleUp,
    Diamond,
    Cross,
    Ring,
    TriangleDown,
    Plus,
}

/// The look with this number.
pub(crate) fn of(number: usize) -> &'static Look {
    &LOOKS[number % LOOKS.len()]
}

const fn look(colour: (u8, u8, u8), dashes: &'static str, marker: Marker) -> Look {
    Look {
        colour: RGBColor(colour.0, colour.1, colour.2),
        dashes,
        marker,
    }
}

pub(crate) const LOOKS: &[Look] = &[
    look((0xD5, 0x5E, 0x00), "", Marker::Disc),
    look((0xE6, 0x9F, 0x00), "7 4", Marker::Square),
    look((0x00, 0x72, 0xB2), "", Marker::TriangleUp),
    look((0x00, 0x9E, 0x73), "", Marker::Diamond),
    look((0x56, 0xB4, 0xE9), "2 3", Marker::Ring),
    look((0xCC, 0x79, 0xA7), "9 3 2 3", Marker::Cross),
    look((0x6B, 0x6B, 0x6B), "4 2", Marker::TriangleDown),
    look((0x8C, 0x56, 0x4B), "7 4", Marker::Plus),
    look((0x44, 0xAA, 0x99), "", Marker::Square),
    look((0x88, 0x22, 0x55), "7 4", Marker::TriangleUp),
    look((0x33, 0x22, 0x88), "2 3", Marker::Diamond),
    look((0x99, 0x99, 0x33), "9 3 2 3", Marker::Disc),
];

/// Ink, axes, grid and paper.
pub(crate) const INK: RGBColor = RGBColor(0x1A, 0x1A, 0x1A);
pub(crate) const AXIS: RGBColor = RGBColor(0x76, 0x76, 0x76);
pub(crate) const GRID: RGBColor = RGBColor(0xE1, 0xE1, 0xE1);
pub(crate) const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_sheet_replaces_every_colour() {
        let colours = [INK, AXIS, GRID, PAPER].into_iter();
        for RGBColor(red, green, blue) in colours.chain(LOOKS.iter().map(|look| look.colour)) {
            let name = format!("\"#{red:02X}{green:02X}{blue:02X}\"");
            assert!(crate::STYLE.contains(&name), "{name}");
        }
    }
}
