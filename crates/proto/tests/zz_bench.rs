#![allow(missing_docs)]
use mesh_proto::{codec, transfer, direct, limits::*};
use std::time::Instant;
#[test]
#[allow(clippy::disallowed_methods)]
fn bench() {
    for len in [1024*1024usize, 64*1024] {
    let f = transfer::Frame::Chunk{index:3,data:vec![7u8;len].into()};
    let b = codec::encode(&f, MAX_TRANSFER_FRAME).unwrap();
    let t=Instant::now();
    for _ in 0..200 { let _: transfer::Frame = codec::decode(&b, MAX_TRANSFER_FRAME).unwrap(); }
    let strict=t.elapsed()/200;
    let t=Instant::now();
    for _ in 0..200 { let _: transfer::Frame = serde_ipld_dagcbor::from_slice(&b).unwrap(); }
    let lax=t.elapsed()/200;
    let t=Instant::now();
    for _ in 0..200 { let _ = transfer::hash(&b); }
    println!("{len}: strict {strict:?} lax {lax:?} hash {:?}", t.elapsed()/200);
    }
    for len in [100usize, 60000] {
    let f = direct::Frame::Message(direct::Message{number:3,from:None,to:Some("agent".parse().unwrap()),body:vec![7u8;len].into()});
    let b = codec::encode(&f, MAX_DIRECT_FRAME).unwrap();
    let n=20000;
    let t=Instant::now();
    for _ in 0..n { let _: direct::Frame = codec::decode(&b, MAX_DIRECT_FRAME).unwrap(); }
    let strict=t.elapsed()/n;
    let t=Instant::now();
    for _ in 0..n { let _: direct::Frame = serde_ipld_dagcbor::from_slice(&b).unwrap(); }
    println!("direct {len}: strict {strict:?} lax {:?}", t.elapsed()/n);
    }
}
