//! Jobs: what each waits for, and what comes of it.

use super::*;

/// One job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) root: Cid,
    /// Who is asked first.
    pub(super) from: Vec<PeerId>,
    patience_ms: u64,
    /// When it is given up, if it waits for others.
    pub(super) due: Option<Mono>,
    /// What it waits for from others.
    out: BTreeSet<Cid>,
    /// When its providers were last searched for.
    pub(super) searched: Option<Mono>,
    work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    Fetch(Box<Fetch>),
    Read(Box<Reading>),
    List(Box<Looking>),
    Add(Adding),
}

/// A read: blocks in, bytes out.
#[derive(Debug)]
pub(super) struct Reading {
    reader: Reader,
    /// What it was told to wait for.
    asked: BTreeSet<Cid>,
    bytes: Vec<Bytes>,
}

/// A list.
#[derive(Debug)]
pub(super) struct Looking {
    listing: Listing,
    asked: BTreeSet<Cid>,
}

/// An import.
#[derive(Debug, Default)]
pub(super) struct Adding {
    /// Blocks of the file that are kept.
    blocks: BTreeMap<Cid, u64>,
    /// Those of them that were not kept before.
    new: Vec<Cid>,
    root: Option<Root>,
}

/// What a job wants next.
enum Next {
    Read(Cid),
    /// From wherever it is.
    Get(Cid),
    Want(Cid),
    Save(Vec<Block>),
    Done(Event),
}

impl Job {
    pub(super) fn new(root: Cid, from: Vec<PeerId>, patience_ms: u64, work: Work) -> Self {
        Self { root, from, patience_ms, due: None, out: BTreeSet::new(), searched: None, work }
    }

    /// A block that it waits for from others.
    pub(super) fn waits_for(&self) -> Option<Cid> {
        self.out.first().copied()
    }

    /// Whether it takes this block to be kept, or will.
    pub(super) fn counts_on(&self, cid: &Cid) -> bool {
        match &self.work {
            Work::Fetch(fetch) => fetch.has_met(cid),
            Work::Add(adding) => adding.blocks.contains_key(cid),
            Work::Read(_) | Work::List(_) => false,
        }
    }

    fn next(&mut self, kept: &Kept) -> Option<Next> {
        match &mut self.work {
            Work::Fetch(fetch) => Some(match fetch.poll_output(kept)? {
                fetch::Output::Read(cid) => Next::Read(cid),
                fetch::Output::Want(cid) => Next::Want(cid),
                fetch::Output::Save(blocks) => Next::Save(blocks),
                fetch::Output::Done(result) => Next::Done(Event::Fetched(result)),
            }),
            Work::Read(reading) => reading.next(),
            Work::List(looking) => looking.next(),
            Work::Add(_) => None,
        }
    }

    fn give(&mut self, block: Block) {
        match &mut self.work {
            Work::Fetch(fetch) => fetch.handle(fetch::Input::Block(block)),
            Work::Read(reading) => {
                reading.asked.remove(block.cid());
                // What is wrong is in the reader.
                let _ = reading.reader.give(&block);
            }
            Work::List(looking) => {
                looking.asked.remove(block.cid());
                let _ = looking.listing.give(&block);
            }
            Work::Add(_) => {}
        }
    }
}

impl Reading {
    pub(super) fn new(reader: Reader) -> Self {
        Self { reader, asked: BTreeSet::new(), bytes: Vec::new() }
    }

    fn next(&mut self) -> Option<Next> {
        while let Some(bytes) = self.reader.next_bytes() {
            self.bytes.push(bytes);
        }
        if let Some(error) = self.reader.error() {
            return Some(Next::Done(Event::Read(Err(error.clone().into()))));
        }
        if self.reader.is_done() {
            return Some(Next::Done(Event::Read(Ok(std::mem::take(&mut self.bytes)))));
        }
        let next = self.reader.wants(MAX_OUT).into_iter().find(|cid| !self.asked.contains(cid))?;
        self.asked.insert(next);
        Some(Next::Get(next))
    }
}

impl Looking {
    pub(super) fn new(listing: Listing) -> Self {
        Self { listing, asked: BTreeSet::new() }
    }

    fn next(&mut self) -> Option<Next> {
        if let Some(error) = self.listing.error() {
            return Some(Next::Done(Event::Listed(Err(error.clone().into()))));
        }
        if self.listing.is_done() {
            return Some(Next::Done(Event::Listed(Ok(self.listing.entries().cloned().collect()))));
        }
        let next = self.listing.wants(MAX_OUT).into_iter().find(|cid| !self.asked.contains(cid))?;
        self.asked.insert(next);
        Some(Next::Get(next))
    }
}

impl Blocks {
    pub(super) fn begin(
        &mut self,
        root: Cid,
        mut from: Vec<PeerId>,
        patience_ms: u64,
        work: Work,
        now: Mono,
    ) -> Result<JobId, BlocksError> {
        if self.jobs.len() >= MAX_JOBS {
            return Err(BlocksError::Busy);
        }
        from.truncate(MAX_FROM);
        let id = self.next_id();
        self.jobs.insert(id, Box::new(Job::new(root, from, patience_ms, work)));
        self.pump(id, now);
        // Only if something has to come from elsewhere.
        if let Some(job) = self.jobs.get(&id).filter(|job| !job.out.is_empty()) {
            self.outputs.extend(job.from.iter().copied().map(Output::Dial));
        }
        Ok(id)
    }

    /// Does what a job wants, until it wants nothing more.
    pub(super) fn pump(&mut self, id: JobId, now: Mono) {
        loop {
            let Some(job) = self.jobs.get_mut(&id) else { return };
            let before = job.out.len();
            let Some(next) = job.next(&self.kept) else { return };
            match next {
                Next::Read(cid) => self.read_for(id, cid),
                Next::Get(cid) if self.kept.size(&cid).is_some() => self.read_for(id, cid),
                Next::Get(cid) | Next::Want(cid) => match self.hot.get(&cid) {
                    Some(block) => self.give(id, block),
                    None => {
                        job.out.insert(cid);
                        if before == 0 {
                            job.due = Some(now + job.patience_ms);
                        }
                        self.want(cid, id);
                    }
                },
                Next::Save(blocks) => self.write(writes::Write::Put(id, blocks), now),
                Next::Done(event) => self.finish(id, event),
            }
        }
    }

    fn read_for(&mut self, id: JobId, cid: Cid) {
        if let Some(block) = self.load(cid, For::Job(id)) {
            self.give(id, block);
        }
    }

    fn give(&mut self, id: JobId, block: Block) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.give(block);
        if let Work::Fetch(fetch) = &job.work {
            let (bytes, blocks) = fetch.progress();
            self.event(id, Event::Progress(Progress { bytes, blocks }));
        }
    }

    /// A block is here that a job waits for.
    pub(super) fn deliver(&mut self, id: JobId, block: Block, now: Mono) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if job.out.remove(block.cid()) {
            job.due = (!job.out.is_empty()).then_some(now + job.patience_ms);
        }
        self.give(id, block);
        self.pump(id, now);
    }

    /// A block that was to be read is not kept: others are asked for it.
    pub(super) fn missing(&mut self, id: JobId, cid: Cid, now: Mono) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        match &mut job.work {
            Work::Fetch(fetch) => fetch.handle(fetch::Input::Missing(cid)),
            Work::Read(reading) => drop(reading.asked.remove(&cid)),
            Work::List(looking) => drop(looking.asked.remove(&cid)),
            Work::Add(_) => {}
        }
        self.pump(id, now);
    }

    /// The store has lost this block: who counts on it has to get it again.
    pub(super) fn forgotten(&mut self, cid: Cid, now: Mono) {
        let ids: Vec<_> = self.jobs.iter().filter(|(_, job)| job.counts_on(&cid)).map(|(id, _)| *id).collect();
        for id in ids {
            match self.jobs.get_mut(&id).map(|job| &mut job.work) {
                Some(Work::Fetch(fetch)) => {
                    fetch.handle(fetch::Input::Lost(cid));
                    self.pump(id, now);
                }
                Some(Work::Add(_)) => self.end(id, BlockStoreError::Failed(format!("{cid} is lost")).into(), now),
                Some(Work::Read(_) | Work::List(_)) | None => {}
            }
        }
        self.outputs.push_back(Output::Gone(vec![cid]));
    }

    /// Ends a job before it is done. A fetch saves what it has first.
    pub(super) fn end(&mut self, id: JobId, error: BlocksError, now: Mono) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        match &mut job.work {
            Work::Fetch(fetch) => {
                fetch.handle(match error {
                    BlocksError::NotFound(_) => fetch::Input::Silence,
                    BlocksError::Store(error) => fetch::Input::Unread(error),
                    BlocksError::TooLarge(_)
                    | BlocksError::Unreadable(_)
                    | BlocksError::Busy
                    | BlocksError::Cancelled => fetch::Input::Cancel,
                });
                self.release(id);
                self.pump(id, now);
            }
            Work::Read(_) => self.finish(id, Event::Read(Err(error))),
            Work::List(_) => self.finish(id, Event::Listed(Err(error))),
            Work::Add(adding) => {
                let new = std::mem::take(&mut adding.new);
                self.finish(id, Event::Added(Err(error)));
                if !new.is_empty() {
                    self.write(writes::Write::Delete(None, new), now);
                }
            }
        }
    }

    fn finish(&mut self, id: JobId, event: Event) {
        self.release(id);
        self.jobs.remove(&id);
        self.event(id, event);
    }

    /// Others are not asked for anything on its behalf any more.
    fn release(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.due = None;
        for cid in std::mem::take(&mut job.out) {
            self.unwant(&cid, id);
        }
    }

    // Imports.

    pub(super) fn imported(&mut self, id: JobId, blocks: Vec<Block>, last: Option<Root>, now: Mono) {
        let Some(Work::Add(adding)) = self.jobs.get_mut(&id).map(|job| &mut job.work) else { return };
        adding.root = last;
        self.write(writes::Write::Put(id, blocks), now);
    }

    /// What a job wanted to be kept is kept, or is not. `new` of it were not kept before.
    pub(super) fn saved(
        &mut self,
        id: JobId,
        blocks: Vec<(Cid, u64)>,
        new: Vec<Cid>,
        result: Result<(), BlockStoreError>,
        now: Mono,
    ) {
        let Some(job) = self.jobs.get_mut(&id) else {
            // An import that was given up meanwhile.
            if result.is_ok() && !new.is_empty() {
                self.write(writes::Write::Delete(None, new), now);
            }
            return;
        };
        match (&mut job.work, result) {
            (Work::Fetch(fetch), result) => {
                let cids = blocks.into_iter().map(|(cid, _)| cid).collect();
                fetch.handle(fetch::Input::Saved(cids, result));
                self.pump(id, now);
            }
            (Work::Add(adding), Ok(())) => {
                adding.blocks.extend(blocks);
                adding.new.extend(new);
                match adding.root {
                    None => self.event(id, Event::Saved),
                    Some(root) => {
                        let blocks = std::mem::take(&mut adding.blocks).into_iter().collect();
                        self.finish(id, Event::Added(Ok((root, Dag { root: root.cid, blocks }))));
                    }
                }
            }
            (Work::Add(_), Err(error)) => self.end(id, error.into(), now),
            (Work::Read(_) | Work::List(_), _) => {}
        }
    }
}
