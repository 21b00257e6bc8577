//! `mesh-relay verify`: whether a file proves a decision. Needs no network, no clock and no key.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use mesh_consensus::verify_record;
use mesh_proto::decision::{Outcome, Record, Subject};
use mesh_proto::limits::MAX_RECORD;
use mesh_proto::{MeshId, Strict, codec};
use serde_json::{Value, json};

/// Checks a file that proves a decision.
///
/// Ends with 0 if a quorum of the voters has signed it, else with 1 and what does not hold. That the charter is that of
/// your mesh is for you to know: give its id with --mesh-id, or compare what is printed.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The file: a decision with its charter and epoch records, as pages give it for download.
    file: PathBuf,

    /// The mesh that it has to be of: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = mesh_id)]
    mesh_id: Option<MeshId>,

    /// Print a JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// Why a file proves nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}: {1}")]
    Read(String, std::io::Error),
    #[error("{0}: not a file with a decision: {1}")]
    Decode(String, mesh_proto::DecodeError),
    #[error("{0}: the decision does not hold: {1}")]
    Invalid(String, mesh_consensus::VerifyError),
    #[error("{file}: it is of the mesh {is}, not of {wanted}")]
    OtherMesh { file: String, is: MeshId, wanted: MeshId },
}

/// What is printed of a file that proves a decision.
pub(crate) fn run(verify: &Verify) -> Result<String, Error> {
    let file = verify.file.display().to_string();
    let bytes = std::fs::read(&verify.file).map_err(|error| Error::Read(file.clone(), error))?;
    let record: Record = codec::decode(&bytes, MAX_RECORD).map_err(|error| Error::Decode(file.clone(), error))?;
    let chain = verify_record(&record, &Strict).map_err(|error| Error::Invalid(file.clone(), error))?;
    if let Some(wanted) = verify.mesh_id.filter(|wanted| *wanted != chain.mesh()) {
        return Err(Error::OtherMesh { file, is: chain.mesh(), wanted });
    }
    let epoch = record.certificate.slot.epoch;
    let voters = chain.electorate(epoch).map_or(0, |electorate| electorate.len());
    let told = tell(&record, chain.mesh(), voters);
    Ok(if verify.json { format!("{told}\n") } else { text(&told, verify.mesh_id.is_some()) })
}

fn tell(record: &Record, mesh: MeshId, voters: usize) -> Value {
    let certificate = &record.certificate;
    let outcome = match certificate.outcome {
        Outcome::Approved(digest) => json!({ "is": "approved", "proposal": digest.to_string() }),
        Outcome::Granted { holder, length } => {
            json!({ "is": "granted", "holder": holder.to_string(), "lengthMs": length })
        }
        Outcome::Rejected => json!({ "is": "rejected" }),
        Outcome::Lapsed => json!({ "is": "lapsed" }),
    };
    let subject = match &certificate.slot.subject {
        Subject::Owned { author, seq } => json!({ "author": author.to_string(), "seq": seq }),
        Subject::Resource { name, seq } => json!({ "resource": name, "seq": seq }),
    };
    // Only an approval says which proposal it is about.
    let approved = matches!(certificate.outcome, Outcome::Approved(_));
    let proposal = record.proposal.as_ref().filter(|_| approved);
    json!({
        "mesh": mesh.to_string(),
        "name": record.charter.name,
        "epoch": certificate.slot.epoch,
        "id": certificate.slot.id().map(|id| id.to_string()).ok(),
        "slot": subject,
        "outcome": outcome,
        "proposal": proposal.map(|of| json!({ "kind": of.kind, "title": of.title, "at": of.at })),
        "round": certificate.round,
        "signers": certificate.voters.len(),
        "voters": voters,
    })
}

fn text(told: &Value, pinned: bool) -> String {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), printable);
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<9} {value}");
    };
    line("Outcome", word(&told["outcome"]["is"]));
    if let Value::Object(proposal) = &told["proposal"] {
        line("Proposal", format!("{} ({})", word(&proposal["title"]), word(&proposal["kind"])));
    }
    let slot = &told["slot"];
    let (name, whose) = if slot["resource"].is_null() { ("Author", "author") } else { ("Resource", "resource") };
    line(name, format!("{}, number {}", word(&slot[whose]), slot["seq"]));
    if let Value::String(holder) = &told["outcome"]["holder"] {
        line("Holder", format!("{holder}, for {} ms", told["outcome"]["lengthMs"]));
    }
    line("Signed by", format!("{} of {} voters, in round {}", told["signers"], told["voters"], told["round"]));
    line("Epoch", word(&told["epoch"]));
    let own = if pinned { "as given" } else { "compare this with the id that you know" };
    line("Mesh", format!("{} {} ({own})", word(&told["name"]), word(&told["mesh"])));
    text
}

/// What others have written must not forge a line.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn mesh_id(text: &str) -> Result<MeshId, String> {
    let wrong = || "the id of a mesh is 64 hexadecimal digits".to_owned();
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    let mut id = [0; 32];
    for (byte, digits) in id.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(MeshId(id))
}
