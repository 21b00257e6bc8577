//! Errors of the network, as JavaScript sees them.

use mesh_core::proposals::RestoreError;
use mesh_core::weights;
use mesh_net::blocks::BlockStoreError;
use mesh_net::{Closed, FoundingError, RedeemError, ShareFailed, StartError};
use mesh_proto::credential::NotAdmitted;
use mesh_proto::transfer::Refusal;

use crate::error::{ErrorCode, MeshFault};

impl From<Closed> for MeshFault {
    fn from(closed: Closed) -> Self {
        Self::new(ErrorCode::Closed, closed)
    }
}

impl From<StartError> for MeshFault {
    fn from(error: StartError) -> Self {
        let code = match &error {
            StartError::NoPeerId(_) | StartError::Listen { .. } => ErrorCode::InvalidArgument,
            StartError::Entropy(_) | StartError::Transport(_) => ErrorCode::Internal,
            StartError::Blocks(BlockStoreError::Full) => ErrorCode::OverQuota,
            StartError::Blocks(BlockStoreError::Failed(_)) | StartError::Founding(FoundingError::Store(_)) => {
                ErrorCode::StoreFailed
            }
            StartError::Founding(FoundingError::Restore(RestoreError::Damaged(_))) => ErrorCode::Integrity,
            StartError::Founding(FoundingError::Restore(_)) => ErrorCode::InvalidArgument,
            StartError::Founding(FoundingError::Credential(_)) => ErrorCode::NotAMember,
            StartError::Founding(FoundingError::Redeem(error)) => match error {
                RedeemError::Refused(NotAdmitted::Unable | NotAdmitted::Busy) | RedeemError::Unreachable { .. } => {
                    ErrorCode::PeerUnreachable
                }
                RedeemError::Refused(_)
                | RedeemError::Credential(_)
                | RedeemError::OtherMesh
                | RedeemError::Damaged
                | RedeemError::Charter(_) => ErrorCode::InviteInvalid,
                RedeemError::Transport(_) => ErrorCode::Internal,
            },
            StartError::Founding(FoundingError::Entropy(_)) => ErrorCode::Internal,
        };
        Self::new(code, error)
    }
}

impl From<ShareFailed> for MeshFault {
    fn from(failed: ShareFailed) -> Self {
        let code = match &failed {
            ShareFailed::Target(error) => return error.clone().into(),
            ShareFailed::Local | ShareFailed::NotTaken(weights::Error::UnderWay) => ErrorCode::InvalidArgument,
            ShareFailed::NotTaken(weights::Error::OverQuota { .. }) => ErrorCode::OverQuota,
            ShareFailed::NotTaken(weights::Error::Invalid(_)) => ErrorCode::TooLarge,
            ShareFailed::NotTaken(weights::Error::OnlyListens(_)) => ErrorCode::NotAMember,
            ShareFailed::Transfer(error) => code_of_share(*error),
        };
        Self::new(code, failed)
    }
}

fn code_of_share(error: weights::ShareError) -> ErrorCode {
    match error {
        weights::ShareError::PeerUnreachable => ErrorCode::PeerUnreachable,
        weights::ShareError::Timeout => ErrorCode::Timeout,
        weights::ShareError::Integrity | weights::ShareError::Refused(Refusal::Corrupt) => ErrorCode::Integrity,
        weights::ShareError::Refused(Refusal::TooLarge) => ErrorCode::TooLarge,
        weights::ShareError::Refused(Refusal::Busy | Refusal::WrongMesh) | weights::ShareError::Unsupported => {
            ErrorCode::Refused
        }
    }
}
