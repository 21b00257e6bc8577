//! Errors as JavaScript sees them: a stable code, a sentence, and what a program may want to know besides.

use mesh_core::knowledge::{self, Refused};
use mesh_core::node::SendError;
use mesh_core::{broadcast, directory, messaging, weights};
use mesh_proto::NameError;
use serde::{Deserialize, Serialize};
use tsify::Tsify;
use wasm_bindgen::JsValue;

use crate::peer::peer_text;

/// What a caller can do something about. The union of these names is generated for TypeScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// An argument is not what it has to be.
    InvalidArgument,
    /// Nobody announced that agent.
    UnknownAgent,
    /// Agents on several nodes have that name.
    AmbiguousAgent,
    /// The node cannot be reached.
    PeerUnreachable,
    /// Not answered in time.
    Timeout,
    /// Past a size.
    TooLarge,
    /// Too much at once.
    OverQuota,
    /// Bytes are not what was promised.
    Integrity,
    /// The other side does not want it.
    Refused,
    /// The caller gave it up.
    Aborted,
    /// The node is closed.
    Closed,
    /// No relay answers.
    RelayUnreachable,
    /// Too few voters can be reached to decide.
    NoQuorum,
    /// This node has voted already.
    AlreadyVoted,
    /// This node has no vote.
    NotAVoter,
    /// Time was over before enough voters had an opinion.
    Lapsed,
    /// It is decided already.
    AlreadyDecided,
    /// No such proposal is open.
    UnknownProposal,
    /// Somebody else holds the resource.
    Held,
    /// This node does not hold the resource.
    NotHeld,
    /// Only the mesh's founder may do that.
    NotAFounder,
    /// This node may not do that: it is an observer, or no member any more, or may not invite.
    NotAMember,
    /// An invite lets nobody in: it was used, revoked, or is over.
    InviteInvalid,
    /// The store cannot keep what it has to.
    StoreFailed,
    /// There is no room for it.
    StorageFull,
    /// Nobody has it who can be reached.
    NotFound,
    /// This node may not write in that domain.
    NotAWriter,
    /// A defect.
    Internal,
}

/// What a rejected promise carries.
#[derive(Clone, Debug, Serialize, Deserialize, Tsify)]
pub struct MeshFault {
    /// What it is.
    pub code: ErrorCode,
    /// What a person reads.
    pub message: String,
    /// What a program may want to know besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub details: Option<FaultDetails>,
}

/// What a program may want to know besides.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Tsify)]
#[serde(rename_all = "camelCase")]
pub struct FaultDetails {
    /// Where agents of an ambiguous name live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub peers: Option<Vec<String>>,
    /// Who holds the resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub holder: Option<String>,
    /// For how many milliseconds more, by this node's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[tsify(optional)]
    pub left_ms: Option<u64>,
}

impl MeshFault {
    pub(crate) fn new(code: ErrorCode, message: impl ToString) -> Self {
        Self { code, message: message.to_string(), details: None }
    }

    pub(crate) fn invalid(message: impl ToString) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }
}

impl From<MeshFault> for JsValue {
    fn from(fault: MeshFault) -> Self {
        match fault.into_ts() {
            Ok(fault) => fault.into(),
            Err(error) => Self::from_str(&error.to_string()),
        }
    }
}

impl From<NameError> for MeshFault {
    fn from(error: NameError) -> Self {
        Self::invalid(error)
    }
}

impl From<tsify::Error> for MeshFault {
    fn from(error: tsify::Error) -> Self {
        Self::invalid(error)
    }
}

impl From<directory::Error> for MeshFault {
    fn from(error: directory::Error) -> Self {
        let code = match &error {
            directory::Error::Invalid(_) | directory::Error::Unencodable(_) => ErrorCode::InvalidArgument,
            directory::Error::Full | directory::Error::Busy => ErrorCode::OverQuota,
            directory::Error::UnknownAgent => ErrorCode::UnknownAgent,
            directory::Error::Ambiguous(_) => ErrorCode::AmbiguousAgent,
            directory::Error::OnlyListens(_) => ErrorCode::NotAMember,
        };
        Self::new(code, error)
    }
}

impl From<broadcast::Error> for MeshFault {
    fn from(error: broadcast::Error) -> Self {
        let code = match error {
            broadcast::Error::TooLarge { .. } => ErrorCode::TooLarge,
            broadcast::Error::OverQuota => ErrorCode::OverQuota,
            broadcast::Error::OnlyListens(_) => ErrorCode::NotAMember,
        };
        Self::new(code, error)
    }
}

impl From<SendError> for MeshFault {
    fn from(error: SendError) -> Self {
        let code = match &error {
            SendError::UnknownAgent => ErrorCode::UnknownAgent,
            SendError::Ambiguous(nodes) => {
                let peers = Some(nodes.iter().map(peer_text).collect());
                return Self {
                    details: Some(FaultDetails { peers, ..FaultDetails::default() }),
                    ..Self::new(ErrorCode::AmbiguousAgent, format!("{error}; say which one as name@peerId"))
                };
            }
            SendError::PeerUnreachable => ErrorCode::PeerUnreachable,
            SendError::Timeout => ErrorCode::Timeout,
            SendError::NotTaken(messaging::Error::TooLarge { .. }) => ErrorCode::TooLarge,
            SendError::NotTaken(messaging::Error::OverQuota) => ErrorCode::OverQuota,
            SendError::NotTaken(messaging::Error::OnlyListens(_)) => ErrorCode::NotAMember,
        };
        Self::new(code, error)
    }
}

impl From<knowledge::Error> for MeshFault {
    fn from(error: knowledge::Error) -> Self {
        let code = match &error {
            knowledge::Error::Invalid(_) => ErrorCode::InvalidArgument,
            knowledge::Error::Refused(Refused::NotAWriter) => ErrorCode::NotAWriter,
            knowledge::Error::Refused(Refused::NoRoom | Refused::NotFollowed) | knowledge::Error::Busy => {
                ErrorCode::OverQuota
            }
            knowledge::Error::Refused(Refused::FromFuture) => ErrorCode::Internal,
            knowledge::Error::OnlyListens(_) => ErrorCode::NotAMember,
        };
        Self::new(code, error)
    }
}

/// The code of an incoming transfer that was given up.
pub(crate) fn code_of_receive(error: weights::ReceiveError) -> ErrorCode {
    match error {
        weights::ReceiveError::Timeout => ErrorCode::Timeout,
        weights::ReceiveError::Displaced => ErrorCode::OverQuota,
        weights::ReceiveError::Integrity => ErrorCode::Integrity,
    }
}
