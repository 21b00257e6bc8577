//! What a host program adds to the swarm: the relay's server and its mDNS live in the relay, not in here.

use libp2p::Multiaddr;
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent, dummy};
use mesh_webrtc::rtc::{self, Rtc};

/// A program around the driver.
pub trait Host: Sized + Send + 'static {
    /// Runs beside the mesh's own protocols.
    type Behaviour: NetworkBehaviour + Send;
    /// The WebRTC that it has. [`rtc::Absent`] where it has none.
    type Rtc: Rtc;

    /// Makes the behaviour. Called once, before anything else.
    fn behaviour(&mut self, key: &Keypair) -> Self::Behaviour;

    /// Gives WebRTC, if there is any. Called once, before anything else; it goes with `Ability::Able` in the core's
    /// configuration.
    fn rtc(&mut self) -> Option<Self::Rtc> {
        None
    }

    /// Something happened in it.
    fn on_event(&mut self, event: <Self::Behaviour as NetworkBehaviour>::ToSwarm) -> Vec<HostAction>;

    /// Something happened in the swarm; for counting.
    fn on_swarm_event<E>(&mut self, event: &SwarmEvent<E>) {
        let _ = event;
    }
}

/// What a host program wants the driver to do.
#[derive(Clone, Debug)]
pub enum HostAction {
    /// Connect to whoever answers there.
    Dial(Multiaddr),
}

/// Adds WebRTC and nothing else.
#[derive(Clone, Debug)]
pub struct WithRtc<R>(pub Option<R>);

impl<R: Rtc> Host for WithRtc<R> {
    type Behaviour = dummy::Behaviour;
    type Rtc = R;

    fn behaviour(&mut self, _key: &Keypair) -> dummy::Behaviour {
        dummy::Behaviour
    }

    fn rtc(&mut self) -> Option<R> {
        self.0.take()
    }

    fn on_event(&mut self, event: std::convert::Infallible) -> Vec<HostAction> {
        match event {}
    }
}

/// Adds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHost;

impl Host for NoHost {
    type Behaviour = dummy::Behaviour;
    type Rtc = rtc::Absent;

    fn behaviour(&mut self, _key: &Keypair) -> dummy::Behaviour {
        dummy::Behaviour
    }

    fn on_event(&mut self, event: std::convert::Infallible) -> Vec<HostAction> {
        match event {}
    }
}
