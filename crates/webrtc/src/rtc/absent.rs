//! No WebRTC at all.

use std::convert::Infallible;
use std::task::{Context, Poll};

use super::{Candidate, ChannelEvent, Kind, PeerEvent, RtcError};

/// What takes the place of an implementation where there is none. It has no values.
#[derive(Clone, Debug)]
pub enum Absent {}

/// A peer connection that there never is.
#[derive(Debug)]
pub struct NoPeer(Infallible);

/// A channel that there never is.
#[derive(Debug)]
pub struct NoChannel(Infallible);

impl super::Rtc for Absent {
    type Peer = NoPeer;

    fn open(&self) -> Result<NoPeer, RtcError> {
        match *self {}
    }
}

impl super::Peer for NoPeer {
    type Channel = NoChannel;

    fn create_channel(&mut self, _: &str) -> Result<NoChannel, RtcError> {
        match self.0 {}
    }

    fn describe(&mut self, _: Kind) {
        match self.0 {}
    }

    fn set_local(&mut self, _: Kind, _: &str) {
        match self.0 {}
    }

    fn set_remote(&mut self, _: Kind, _: &str) {
        match self.0 {}
    }

    fn add_candidate(&mut self, _: &Candidate) {
        match self.0 {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<PeerEvent<NoChannel>> {
        match self.0 {}
    }

    fn close(&mut self) {
        match self.0 {}
    }
}

impl super::Channel for NoChannel {
    fn send(&mut self, _: &[u8]) -> Result<(), RtcError> {
        match self.0 {}
    }

    fn buffered(&self) -> usize {
        match self.0 {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ChannelEvent> {
        match self.0 {}
    }

    fn close(&mut self) {
        match self.0 {}
    }
}
