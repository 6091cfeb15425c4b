//! Cuts, frames and waveforms (SPEC §4) of real video with a number in each picture.

mod encoded;
mod exact;
mod field;
mod hiccups;
mod life;
mod pictures;
mod rough;
mod sound;
mod support;
mod transitions;
