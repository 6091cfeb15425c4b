//! The two things that are kept of an hour, and how each is read.

use common::segment::Hour;
use common::store::{Store, StoreError};

use super::{OfHour, Rendition};
use crate::hls::HourLines;
use crate::listing::Listing;

impl OfHour for HourLines {
    const KIND: &'static str = "playlists";

    fn read(
        store: &Store,
        Rendition { channel, quality }: &Rendition,
        hour: Hour,
        before: Option<&HourLines>,
    ) -> Result<HourLines, StoreError> {
        let segments = store.best(channel, quality, hour)?;
        Ok(HourLines::new(channel, quality, hour, segments, before))
    }

    fn bytes(&self) -> usize {
        HourLines::bytes(self)
    }
}

impl OfHour for Listing {
    const KIND: &'static str = "listings";

    fn read(
        store: &Store,
        Rendition { channel, quality }: &Rendition,
        hour: Hour,
        _before: Option<&Listing>,
    ) -> Result<Listing, StoreError> {
        Ok(Listing::of(store.hour_names(channel, quality, hour)?))
    }

    fn bytes(&self) -> usize {
        Listing::bytes(self)
    }
}
