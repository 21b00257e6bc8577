//! What the store is told to put and to delete, one after the other, in the order in which it was said.
//!
//! What a job counts on is not deleted: when the job is over, it is told as a part of what is kept. What is being deleted
//! counts as gone from the beginning, so that nobody begins to count on it.

use super::*;

/// A change of the store.
#[derive(Debug)]
pub(super) enum Write {
    /// For this job.
    Put(JobId, Vec<Block>),
    /// For whoever waits for it.
    Delete(Option<JobId>, Vec<Cid>),
    /// What the store has of it is something else, and would stand in the way.
    Purge(Cid),
}

/// Changes. Those of a job are bounded by it: an import has one, a fetch [`fetch::MAX_UNSAVED`] bytes and what was under way.
#[derive(Debug, Default)]
pub(super) struct Writes {
    waiting: VecDeque<Write>,
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
enum UnderWay {
    /// All blocks of the job, and those that are put: the others are kept already.
    Put(JobId, Vec<(Cid, u64)>, Vec<Cid>),
    Delete(Option<JobId>, Vec<(Cid, u64)>),
}

impl Blocks {
    pub(super) fn write(&mut self, write: Write, now: Mono) {
        self.writes.waiting.push_back(write);
        self.write_next(now);
    }

    fn write_next(&mut self, now: Mono) {
        while self.writes.under_way.is_none()
            && let Some(write) = self.writes.waiting.pop_front()
        {
            match write {
                Write::Put(id, blocks) => self.put(id, blocks, now),
                Write::Delete(id, mut cids) => {
                    cids.retain(|cid| !self.jobs.values().any(|job| job.counts_on(cid)));
                    self.remove(id, cids);
                }
                Write::Purge(cid) => self.remove(None, vec![cid]),
            }
        }
    }

    fn put(&mut self, id: JobId, mut blocks: Vec<Block>, now: Mono) {
        let all = blocks.iter().map(|block| (*block.cid(), block.data().len() as u64)).collect();
        let mut new = BTreeSet::new();
        blocks.retain(|block| self.kept.size(block.cid()).is_none() && new.insert(*block.cid()));
        if blocks.is_empty() {
            self.saved(id, all, Vec::new(), Ok(()), now);
        } else if self.kept.blocks() + blocks.len() > MAX_KEPT {
            self.saved(id, all, Vec::new(), Err(BlockStoreError::Full), now);
        } else {
            self.writes.under_way = Some(UnderWay::Put(id, all, new.into_iter().collect()));
            self.outputs.push_back(Output::Put(blocks));
        }
    }

    fn remove(&mut self, id: Option<JobId>, cids: Vec<Cid>) {
        let gone = cids.iter().filter_map(|cid| Some((*cid, self.kept.remove(cid)?))).collect();
        cids.iter().for_each(|cid| self.hot.remove(cid));
        self.writes.under_way = Some(UnderWay::Delete(id, gone));
        self.outputs.push_back(Output::Delete(cids));
    }

    /// The store has done what it was told last, or has not.
    pub(super) fn written(&mut self, result: Result<(), BlockStoreError>, now: Mono) {
        match self.writes.under_way.take() {
            None => {}
            Some(UnderWay::Put(id, all, new)) => {
                if result.is_ok() {
                    for (cid, size) in all.iter().filter(|(cid, _)| new.binary_search(cid).is_ok()) {
                        self.kept.insert(*cid, *size);
                        self.outputs.push_back(Output::Added(*cid));
                    }
                }
                self.saved(id, all, new, result, now);
            }
            Some(UnderWay::Delete(id, gone)) => {
                match &result {
                    Ok(()) => self.outputs.push_back(Output::Gone(gone.into_iter().map(|(cid, _)| cid).collect())),
                    Err(_) => gone.into_iter().for_each(|(cid, size)| self.kept.insert(cid, size)),
                }
                if let Some(id) = id {
                    self.event(id, Event::Deleted(result));
                }
            }
        }
        self.write_next(now);
    }
}
