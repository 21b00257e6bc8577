//! Offences: what a peer did that an honest one would not.
//!
//! Kept apart from mishaps (a lost connection, a full buffer). Each is counted and told to the application; what
//! follows from many of them is reputation's to decide.

use std::fmt;

/// What a peer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Offence {
    /// Bytes that are no message.
    Malformed,
    /// A message past its size.
    TooLarge,
    /// A signature that is not the sender's.
    Forged,
    /// A message that was let in before.
    Replayed,
    /// A message past its time to live.
    Stale,
    /// A message from more than a minute ahead.
    FromFuture,
    /// A message of another mesh.
    WrongMesh,
    /// A kind on a topic that is not its own.
    WrongTopic,
    /// More than its share.
    RateExceeded,
    /// More unacknowledged messages than agreed.
    WindowExceeded,
    /// A frame out of its place in the protocol.
    OutOfPlace,
    /// A chunk that is not what its manifest says.
    Corrupt,
    /// A proposal, vote or certificate that breaks the rules of deciding.
    FalseVote,
}

impl Offence {
    /// Every offence.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::TooLarge,
        Self::Forged,
        Self::Replayed,
        Self::Stale,
        Self::FromFuture,
        Self::WrongMesh,
        Self::WrongTopic,
        Self::RateExceeded,
        Self::WindowExceeded,
        Self::OutOfPlace,
        Self::Corrupt,
        Self::FalseVote,
    ];

    /// Its stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::Forged => "forged",
            Self::Replayed => "replayed",
            Self::Stale => "stale",
            Self::FromFuture => "from-future",
            Self::WrongMesh => "wrong-mesh",
            Self::WrongTopic => "wrong-topic",
            Self::RateExceeded => "rate-exceeded",
            Self::WindowExceeded => "window-exceeded",
            Self::OutOfPlace => "out-of-place",
            Self::Corrupt => "corrupt",
            Self::FalseVote => "false-vote",
        }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
