//! The table of resources: what each path answers with.

use crate::metrics;
use crate::reading::Reading;

/// One row of [`RESOURCES`].
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) path: &'static str,
    pub(crate) media_type: &'static str,
    pub(crate) content: Content,
}

/// What a reply to GET has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    /// The sample of the present period, as this writes it.
    Sample(fn(&Reading, &mut Vec<u8>)),
    /// A line for each sample from now on.
    Stream,
}

const RESOURCES: &[Resource] = &[
    Resource {
        path: "/sample",
        media_type: "application/json",
        content: Content::Sample(|reading, out| out.extend_from_slice(reading.line())),
    },
    Resource {
        path: "/stream",
        media_type: "application/x-ndjson",
        content: Content::Stream,
    },
    Resource {
        path: "/metrics",
        media_type: metrics::MEDIA_TYPE,
        content: Content::Sample(|reading, out| {
            out.extend_from_slice(metrics::exposition(reading.sample()).as_bytes());
        }),
    },
];

/// The resource of a path.
pub(crate) fn at(path: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.path == path)
}
