//! One direction of a TCP connection as a line of bytes: which were seen, which were acknowledged.
//!
//! # What is believed
//!
//! Bytes that continue the line count at once. Bytes beyond a gap wait as an *island* until the other
//! direction corroborates them (an acknowledgement or SACK that covers them) or the gap closes. An
//! acknowledgement of bytes that were not seen is a *claim*: it counts once the sender goes on from
//! there, the receiver repeats it twice, or the flow ends without its denying it; a claim made once
//! and at the end, for one window. Whatever lies further ahead than the receiver's window is refused,
//! until both directions have gone on there: then the capture lost that much. Where only one
//! direction is seen, or the other has fallen silent, there is nothing to ask, and it is believed
//! within the largest window TCP has. What still waits when the flow ends is believed unless the
//! receiver spoke time and again without covering it. So a forged segment adds nothing for good, and
//! a real one is never lost for long.
//!
//! Where the line begins is believed of a SYN once somebody goes on from there. Without a SYN the first
//! number says it, until a SYN or its answer comes late.

use super::trouble::{Claim, DENIALS_BELIEVED, RANGES_MAX, Trouble};

/// Bytes sent in one direction, on a 64-bit line unwrapped from sequence numbers (RFC 9293).
///
/// Offset 0 is the first byte after the SYN, or the first byte met when there was no SYN.
#[derive(Debug, Clone, Default)]
pub(super) struct Stream {
    /// Sequence number of offset 0, once anything was met.
    origin: Option<u32>,
    beginning: Beginning,
    /// Offset after the highest byte believed: seen, or acknowledged.
    next: u64,
    /// Offset up to which the other end acknowledged; never beyond `next`.
    acked: u64,
    /// Offset of the FIN, which takes a sequence number but is no byte.
    fin: Option<u64>,
    /// What is not in order; most streams have none.
    trouble: Option<Box<Trouble>>,
    /// Segments and acknowledgements that cannot be true.
    rejected: u32,
}

/// What said where offset 0 is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Beginning {
    #[default]
    Data,
    /// Without a SYN: whatever is before it was delivered.
    Ack,
    /// A segment without bytes; a keep-alive has the number before.
    Empty,
    Syn,
    /// A SYN from which one of the ends went on.
    Answered,
}

/// What the two directions know of one another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// Bytes that the receiver can have outstanding.
    pub(super) window: u64,
    /// Has the other direction been seen at all?
    pub(super) is_two_sided: bool,
}

/// What a segment or an acknowledgement added.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Added {
    /// Bytes seen for the first time.
    pub(super) fresh: u64,
    /// Bytes seen before.
    pub(super) repeated: u64,
    /// Bytes newly known to be delivered.
    pub(super) acked: u64,
}

/// A stream without trouble.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain {
    pub(super) origin: Option<u32>,
    pub(super) next: u64,
    pub(super) acked: u64,
    pub(super) beginning: Beginning,
    /// Was a FIN seen that follows the bytes so far?
    pub(super) is_fin_next: bool,
}

impl From<Plain> for Stream {
    fn from(plain: Plain) -> Self {
        Self {
            origin: plain.origin,
            next: plain.next,
            acked: plain.acked,
            beginning: plain.beginning,
            fin: plain.is_fin_next.then_some(plain.next),
            ..Self::default()
        }
    }
}

impl Stream {
    /// The stream as a plain one, if it is that.
    pub(super) fn plain(&self) -> Option<Plain> {
        let is_plain = self.trouble.is_none() && self.fin.is_none_or(|fin| fin == self.next);
        is_plain.then_some(Plain {
            origin: self.origin,
            next: self.next,
            acked: self.acked,
            beginning: self.beginning,
            is_fin_next: self.fin.is_some(),
        })
    }

    /// The sequence number of the first byte, if it is known.
    pub(super) fn origin(&self) -> Option<u32> {
        self.origin
    }

    /// Takes the SYN of this direction, or what the answer to it says of its number.
    pub(super) fn syn(&mut self, seq: u32) -> Added {
        let mut added = Added::default();
        let first = seq.wrapping_add(1);
        self.origin.get_or_insert(first);
        if let Some(earlier) = self.late_syn(seq) {
            let was_delivered = self.acked > 0 || self.beginning == Beginning::Ack;
            self.origin = Some(first);
            self.move_by(earlier);
            if was_delivered {
                self.acked += earlier;
                added.acked = earlier;
            }
        }
        if self.origin == Some(first) && self.beginning != Beginning::Answered {
            self.beginning = Beginning::Syn;
        }
        added
    }

    /// Would this SYN start another connection than the one at hand?
    pub(super) fn is_foreign_syn(&self, seq: u32) -> bool {
        self.origin.is_some_and(|origin| origin != seq.wrapping_add(1))
            && self.late_syn(seq).is_none()
    }

    /// A SYN that the mirror shuffled behind the first data or their acknowledgement: by how many
    /// bytes the line begins earlier than was thought.
    fn late_syn(&self, seq: u32) -> Option<u64> {
        let earlier = u64::from(self.origin?.wrapping_sub(seq.wrapping_add(1)));
        let is_late = earlier > 0 && earlier + self.next <= SHUFFLED_MAX;
        let has_syn = matches!(self.beginning, Beginning::Syn | Beginning::Answered);
        (is_late && !has_syn).then_some(earlier)
    }

    /// Takes a segment without bytes: its number says where the line begins if nothing else did.
    pub(super) fn empty(&mut self, seq: u32) {
        match self.origin {
            None => (self.origin, self.beginning) = (Some(seq), Beginning::Empty),
            Some(origin) if origin == seq => self.note_answer(),
            Some(_) => {}
        }
    }

    /// The first number after that of a segment without bytes: one further, and that was a keep-alive.
    fn note_keep_alive(&mut self, number: u32) {
        if self.beginning == Beginning::Empty && self.is_empty() {
            let is_next = |origin: u32| number == origin.wrapping_add(1);
            self.origin = self.origin.map(|origin| origin.wrapping_add(is_next(origin).into()));
        }
    }

    fn note_answer(&mut self) {
        if self.beginning == Beginning::Syn {
            self.beginning = Beginning::Answered;
        }
    }

    /// A SYN from which nobody went on may be forged.
    fn is_unanswered(&self) -> bool {
        self.beginning == Beginning::Syn && self.is_empty()
    }

    /// What is far from a SYN that may be forged moves the beginning.
    fn cautious(&self, reach: Reach) -> Reach {
        if self.is_unanswered() && reach.is_two_sided {
            return Reach { window: reach.window.min(SHUFFLED_MAX), ..reach };
        }
        reach
    }

    /// Takes `len` bytes at `seq`.
    pub(super) fn data(&mut self, seq: u32, len: u32, reach: Reach) -> Added {
        self.note_keep_alive(seq);
        let start = self.offset_of(seq);
        if start == i128::from(self.next) && self.trouble.is_none() {
            self.next += u64::from(len);
            return Added { fresh: u64::from(len), ..Added::default() };
        }
        let reach = self.cautious(reach);
        let is_far_off = start < -i128::from(SHUFFLED_MAX) && self.is_empty();
        // Far from the beginning, as after a forged SYN: let it be ahead.
        let start = if is_far_off && reach.is_two_sided { start + (1 << 32) } else { start };
        let end = start + i128::from(len);
        // Bytes from before the first one met are of an account that is not ours.
        let (start, end) = (clamp(start), clamp(end));
        let mut added = self.settle_claim(end, reach);
        if start > self.next {
            let gap = start - self.next;
            if !reach.is_two_sided && gap <= WINDOW_MAX {
                self.promote_below(start, &mut added);
                self.believe(start, end, &mut added);
            } else if reach.is_two_sided && gap <= reach.window {
                self.trouble().wait(start, end, &mut added);
            } else {
                self.keep_far(start, end, reach, &mut added);
            }
            self.make_room(&mut added);
            self.settle_reached(&mut added);
            return added;
        }
        let below = end.min(self.next);
        let filled = self.trouble.as_mut().map_or(0, |trouble| trouble.fill(start, below));
        added.fresh += filled;
        added.repeated += (below - start) - filled;
        if end > self.next {
            added.fresh += end - self.next;
            self.next = end;
            self.join_islands(&mut added);
            self.settle_reached(&mut added);
        }
        self.forget_trouble();
        added
    }

    /// Takes the FIN that follows the bytes up to `seq`.
    pub(super) fn fin(&mut self, seq: u32, reach: Reach) {
        if self.origin.is_none() {
            // A FIN met first says where the bytes end, not where they begin.
            return;
        }
        let offset = clamp(self.offset_of(seq));
        if offset <= self.next.saturating_add(reach.window) {
            self.fin = Some(offset);
        }
    }

    /// Takes the other end's acknowledgement.
    pub(super) fn ack(&mut self, ack: u32, reach: Reach) -> Added {
        if self.origin.is_none() {
            self.beginning = Beginning::Ack;
        }
        self.note_keep_alive(ack);
        let window = reach.window;
        let reach = self.cautious(reach);
        let mut offset = self.offset_of(ack);
        if offset < 0 && self.is_empty() && self.trouble.as_ref().is_some_and(|it| it.far.is_some())
        {
            offset += 1 << 32;
        }
        if offset == 0 {
            self.note_answer();
        }
        let mut offset = clamp(offset);
        if let Some(fin) = self.fin {
            if offset == fin + 1 {
                offset = fin;
            } else if offset > fin + 1 {
                // There are bytes after it: it was forged.
                self.fin = None;
            }
        }
        let mut added = Added::default();
        if offset <= self.next {
            self.deny(offset);
        } else if offset == self.next + 1 {
            // The one number beyond may be that of a FIN that comes late: only data makes it a byte.
            self.trouble().claim.get_or_insert(Claim::at(offset));
        } else if self.islands_reach(offset) {
            self.promote_below(offset, &mut added);
        } else if !reach.is_two_sided && offset - self.next <= WINDOW_MAX {
            self.skip_to(offset - 1);
            self.trouble().claim = Some(Claim::at(offset));
        } else {
            match self.claim(offset, reach, window) {
                Some(believed) => offset = believed,
                None => return added,
            }
            self.promote_below(offset, &mut added);
            self.skip_to(offset);
        }
        self.deliver(offset.min(self.next), &mut added);
        self.settle_reached(&mut added);
        self.forget_trouble();
        added
    }

    /// Takes a SACK block: the islands it covers were received (RFC 2018).
    pub(super) fn sack(&mut self, left: u32, right: u32) -> Added {
        let (left, right) = (clamp(self.offset_of(left)), clamp(self.offset_of(right)));
        let mut added = Added::default();
        let covers = |&(start, end): &(u64, u64)| left < end && start < right;
        if left < right
            && self.trouble.as_ref().is_some_and(|trouble| trouble.islands.iter().any(covers))
        {
            self.promote_below(right, &mut added);
        }
        added
    }

    /// Takes the end of the flow: what nobody denied is believed, the rest is let go.
    ///
    /// A FIN of the receiver says that the sender's, if it was not seen, has the last number; so does a
    /// sender of whom all but that number was seen.
    pub(super) fn finish(&mut self, reach: Reach, receiver: &Self) -> Added {
        let mut added = Added::default();
        let Some(trouble) = &self.trouble else { return added };
        let is_denied = trouble.denied >= DENIALS_BELIEVED;
        let (claim, far) = (trouble.claim, trouble.far);
        let seen = trouble.islands.last().map_or(self.next, |&(_, end)| end);
        if let Some(Claim { offset, latest, repeated, is_far: false, .. }) = claim {
            // Said once, it is believed for one window.
            let is_near = latest <= self.next + reach.window / 2;
            let latest = if is_near || repeated == 0 { latest } else { offset };
            let is_fin = match self.fin {
                Some(fin) => latest == fin + 1,
                None => receiver.fin.is_some() || reach.is_two_sided && latest == seen + 1,
            };
            let offset = latest - u64::from(is_fin);
            if offset > self.next && (is_near || repeated > 0) {
                self.promote_below(offset, &mut added);
                self.skip_to(offset);
                self.deliver(offset, &mut added);
            }
        }
        if is_denied {
            self.rejected = self.rejected.saturating_add(1);
        } else {
            self.promote_below(u64::MAX, &mut added);
            if let Some((start, end)) = far {
                self.believe(start, end, &mut added);
            }
        }
        self.trouble = None;
        added
    }

    /// Bytes acknowledged since offset 0.
    pub(super) fn acked(&self) -> u64 {
        self.acked
    }

    /// Was a FIN seen?
    pub(super) fn has_fin(&self) -> bool {
        self.fin.is_some()
    }

    /// Was the FIN seen and acknowledged?
    pub(super) fn is_finished(&self) -> bool {
        self.fin.is_some_and(|fin| self.acked >= fin)
    }

    /// Segments and acknowledgements refused as impossible.
    pub(super) fn rejected(&self) -> u32 {
        self.rejected
    }

    /// The offset of a sequence number, read as the one nearest to `next`; negative before offset 0.
    fn offset_of(&mut self, seq: u32) -> i128 {
        let origin = *self.origin.get_or_insert(seq);
        let near = origin.wrapping_add(self.next as u32);
        i128::from(self.next) + i128::from(seq.wrapping_sub(near).cast_signed())
    }

    /// Is nothing believed of this line but where it begins?
    fn is_empty(&self) -> bool {
        self.next == 0 && self.acked == 0
    }

    fn trouble(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }

    /// Puts `before` bytes that were not seen before offset 0.
    fn move_by(&mut self, before: u64) {
        self.next += before;
        self.fin = self.fin.map(|fin| fin + before);
        let trouble = self.trouble();
        for range in trouble.holes.iter_mut().chain(&mut trouble.islands).chain(&mut trouble.far) {
            *range = (range.0 + before, range.1 + before);
        }
        if let Some(claim) = &mut trouble.claim {
            claim.offset += before;
            claim.latest += before;
        }
        trouble.holes.insert(0, (0, before));
        trouble.holes.truncate(RANGES_MAX);
    }

    /// Counts `start..end`, which lies beyond `next`, as seen and what is before it as a hole.
    fn believe(&mut self, start: u64, end: u64, added: &mut Added) {
        self.skip_to(start);
        added.repeated += end.min(self.next) - start.min(end.min(self.next));
        added.fresh += end.saturating_sub(self.next);
        self.next = self.next.max(end);
        self.join_islands(added);
    }

    /// Moves `next` on over bytes that were not seen.
    fn skip_to(&mut self, offset: u64) {
        if offset > self.next {
            let hole = (self.next, offset);
            self.trouble().open_hole(hole);
            self.next = offset;
        }
    }

    fn deliver(&mut self, offset: u64, added: &mut Added) {
        let more = offset.saturating_sub(self.acked);
        self.acked += more;
        added.acked += more;
    }

    /// Counts the islands that `next` has reached.
    fn join_islands(&mut self, added: &mut Added) {
        let Some(trouble) = &mut self.trouble else { return };
        while let Some(&(start, end)) = trouble.islands.first()
            && start <= self.next
        {
            trouble.islands.remove(0);
            // What the gap's own segments brought again was seen before.
            added.repeated += end.min(self.next) - start;
            added.fresh += end.saturating_sub(self.next);
            self.next = self.next.max(end);
        }
    }

    /// Counts the islands that begin below `offset`: the other direction vouches for them.
    fn promote_below(&mut self, offset: u64, added: &mut Added) {
        while let Some(trouble) = &mut self.trouble
            && let Some(&(start, end)) = trouble.islands.first()
            && start < offset
        {
            trouble.islands.remove(0);
            self.believe(start, end, added);
        }
    }

    fn islands_reach(&self, offset: u64) -> bool {
        let holds = |&(start, end): &(u64, u64)| start < offset && offset <= end;
        self.trouble.as_ref().is_some_and(|trouble| trouble.islands.iter().any(holds))
    }

    /// The receiver acknowledges what was not seen. Answers how far that is believed.
    fn claim(&mut self, offset: u64, reach: Reach, window: u64) -> Option<u64> {
        let (next, acked, is_unanswered) = (self.next, self.acked, self.is_unanswered());
        let limit = match is_unanswered {
            true => window,
            false => reach.window.max(WINDOW_UNKNOWN),
        };
        let trouble = self.trouble();
        if let Some((start, end)) = trouble.far
            && next <= start
            && start < offset
            && offset <= end.saturating_add(reach.window)
        {
            match &mut trouble.claim {
                Some(claim) if (claim.offset..=claim.offset + reach.window).contains(&offset) => {
                    if offset == claim.offset && claim.repeated == 0 {
                        claim.repeated = 1;
                        return None;
                    }
                }
                Some(_) | None => {
                    trouble.claim = Some(Claim { is_far: true, ..Claim::at(offset) });
                    return None;
                }
            }
            // Both directions have gone on there: the capture lost what is between. On a line on which they
            // had agreed on nothing yet there is no such stretch: it was taken to begin too early,
            // as after a forged SYN, so its beginning moves, unless by no more than a window.
            (trouble.far, trouble.claim) = (None, None);
            let went_on = acked > 0 || !is_unanswered && !trouble.islands.is_empty();
            let moved = if went_on || start - next <= window { 0 } else { start - next };
            if moved > 0 {
                trouble.islands.clear();
            }
            trouble.wait(start - moved, end - moved, &mut Added::default());
            self.origin = self.origin.map(|origin| origin.wrapping_add(moved as u32));
            return Some(offset - moved);
        }
        if offset - next > limit {
            trouble.claim = Some(Claim { is_far: true, ..Claim::at(offset) });
            self.rejected = self.rejected.saturating_add(1);
            return None;
        }
        match &mut trouble.claim {
            Some(claim) if !claim.is_far && offset >= claim.offset => {
                claim.repeated += 1;
                claim.say(offset);
                if claim.repeated >= CLAIMS_BELIEVED {
                    // All but the last number, which may be a FIN's.
                    let believed = claim.offset - 1;
                    *claim = Claim::at(claim.latest);
                    return Some(believed);
                }
            }
            Some(claim) if !claim.is_far => {
                (claim.offset, claim.repeated) = (offset, 0);
                claim.say(offset);
            }
            Some(_) | None => trouble.claim = Some(Claim::at(offset)),
        }
        None
    }

    /// The sender has gone on past what the receiver claimed: the claim was true.
    fn settle_claim(&mut self, end: u64, reach: Reach) -> Added {
        let mut added = Added::default();
        if let Some(trouble) = &mut self.trouble
            && let Some(Claim { offset: claim, latest, is_far: false, .. }) = trouble.claim
            && end >= claim
            && end - claim <= reach.window
        {
            let claim = if end >= latest { latest } else { claim };
            trouble.claim = (latest > claim).then(|| Claim::at(latest));
            self.promote_below(claim, &mut added);
            self.skip_to(claim);
            self.deliver(claim, &mut added);
        }
        added
    }

    /// The line has reached what the receiver claimed, but for a number that may be a FIN's.
    fn settle_reached(&mut self, added: &mut Added) {
        let next = self.next;
        if let Some(trouble) = &mut self.trouble
            && let Some(Claim { offset, latest, .. }) = trouble.claim
            && offset <= next + 1
        {
            if offset <= next {
                trouble.claim = (latest > next).then(|| Claim::at(latest));
            }
            self.deliver(latest.min(next), added);
        }
    }

    /// The receiver is behind what it claimed, and behind what waits for its word: time and again, so it did not claim that; once, and the
    /// mirror may have shuffled its acknowledgements.
    fn deny(&mut self, offset: u64) {
        let Some(trouble) = &mut self.trouble else { return };
        if !trouble.islands.is_empty() || trouble.far.is_some() {
            trouble.denied = trouble.denied.saturating_add(1);
        }
        if let Some(claim) = &mut trouble.claim
            && offset < claim.offset
        {
            claim.denied += 1;
            if claim.denied >= DENIALS_BELIEVED {
                trouble.claim = None;
                self.rejected = self.rejected.saturating_add(1);
            }
        }
    }

    /// A segment too far ahead: refused, but remembered in case both directions went there. With one
    /// direction seen, a second segment that continues it is the only witness there can be.
    fn keep_far(&mut self, start: u64, end: u64, reach: Reach, added: &mut Added) {
        self.rejected = self.rejected.saturating_add(1);
        let trouble = self.trouble();
        match trouble.far {
            Some((far_start, far_end)) if far_end == start && reach.is_two_sided => {
                trouble.far = Some((far_start, end));
            }
            Some((far_start, far_end)) if far_end == start => {
                trouble.far = None;
                self.believe(far_start, end, added);
            }
            Some(_) | None => {
                trouble.far = Some((start, end));
                trouble.denied = 0;
            }
        }
    }

    /// Bounds what waits: the lowest island is counted when there are too many.
    fn make_room(&mut self, added: &mut Added) {
        if let Some(trouble) = &self.trouble
            && trouble.islands.len() > RANGES_MAX
        {
            let lowest = trouble.islands[0].0;
            self.promote_below(lowest + 1, added);
        }
    }

    fn forget_trouble(&mut self) {
        if self.trouble.as_ref().is_some_and(|trouble| trouble.is_over()) {
            self.trouble = None;
        }
    }
}

fn clamp(offset: i128) -> u64 {
    u64::try_from(offset.max(0)).unwrap_or(u64::MAX)
}

/// The largest window TCP can have (RFC 7323, section 2.3).
const WINDOW_MAX: u64 = 1 << 30;

/// The window taken for granted where its scale was not seen.
pub(super) const WINDOW_UNKNOWN: u64 = 1 << 20;

/// How far a SYN may come too late: within the first windows (RFC 6928), for it was the first to be sent.
const SHUFFLED_MAX: u64 = 1 << 16;

/// Times that a receiver must repeat or surpass a claim before it is believed alone.
const CLAIMS_BELIEVED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: Reach = Reach { window: 65_536, is_two_sided: true };
    const ALONE: Reach = Reach { window: 65_536, is_two_sided: false };

    fn stream(isn: u32) -> Stream {
        let mut stream = Stream::default();
        stream.syn(isn);
        stream
    }

    fn fresh(stream: &mut Stream, seq: u32, len: u32) -> u64 {
        stream.data(seq, len, BOTH).fresh
    }

    #[test]
    fn retransmission_and_keep_alive_add_nothing() {
        let mut stream = stream(999);
        assert_eq!(fresh(&mut stream, 1000, 100), 100);
        assert_eq!(stream.data(1000, 100, BOTH), Added { repeated: 100, ..Added::default() });
        assert_eq!(fresh(&mut stream, 1099, 1), 0);
        assert_eq!(fresh(&mut stream, 1050, 100), 50);
        assert_eq!(stream.ack(1150, BOTH).acked, 150);
        assert_eq!(stream.ack(1100, BOTH).acked, 0);
    }

    #[test]
    fn fin_is_no_byte() {
        let mut stream = stream(0);
        fresh(&mut stream, 1, 10);
        stream.fin(11, BOTH);
        assert_eq!(stream.ack(12, BOTH).acked, 10);
        assert!(stream.is_finished());
    }

    /// A forged FIN must not cap what the receiver acknowledges later.
    #[test]
    fn a_forged_fin_stops_nothing() {
        let mut stream = stream(0);
        fresh(&mut stream, 1, 10);
        stream.fin(5, BOTH);
        fresh(&mut stream, 11, 1000);
        assert_eq!(stream.ack(1011, BOTH).acked, 1010);
    }

    /// An upload of 20 GB wraps the sequence number five times.
    #[test]
    fn more_than_four_gib_is_ordinary() {
        let mut stream = stream(u32::MAX - 5);
        let (mut seq, mut seen, mut acked) = (u32::MAX - 4, 0u64, 0u64);
        for _ in 0..20_000 {
            seen += fresh(&mut stream, seq, 1 << 20);
            seq = seq.wrapping_add(1 << 20);
            acked += stream.ack(seq, BOTH).acked;
        }
        assert_eq!((seen, acked), (20_000 << 20, 20_000 << 20));
    }

    /// The capture lost a stretch; the receiver acknowledged it and the sender went on.
    #[test]
    fn acknowledgements_cover_what_the_capture_lost() {
        let mut stream = stream(0);
        assert_eq!(fresh(&mut stream, 1, 1000), 1000);
        assert_eq!(stream.ack(31_001, BOTH).acked, 0);
        assert_eq!(
            stream.data(31_001, 1000, BOTH),
            Added { fresh: 1000, repeated: 0, acked: 31_000 }
        );
        assert_eq!(stream.ack(32_001, BOTH).acked, 1000);
        // It was only late: the mirror swapped the directions.
        assert_eq!(fresh(&mut stream, 1001, 500), 500);
    }

    /// A lost burst larger than any window: both directions resume further on.
    #[test]
    fn both_directions_together_prove_a_jump() {
        let mut stream = stream(0);
        fresh(&mut stream, 1, 1000);
        assert_eq!(stream.ack(501, BOTH).acked, 500);
        assert_eq!(fresh(&mut stream, 50_000_001, 1000), 0);
        assert_eq!(stream.rejected(), 1);
        assert_eq!(stream.ack(50_001_001, BOTH), Added::default());
        assert_eq!(fresh(&mut stream, 50_001_001, 1000), 0);
        let added = stream.ack(50_002_001, BOTH);
        assert_eq!((added.fresh, added.acked), (2000, 50_001_500));
    }

    /// A forged reset and a forged SYN make the table begin the line somewhere else: what follows is
    /// the connection as it was, not two gigabytes that were lost on the way.
    #[test]
    fn a_line_begun_at_a_forged_place_is_moved() {
        let mut stream = stream(0);
        assert_eq!(fresh(&mut stream, 2_000_000_001, 1000), 0);
        assert_eq!(stream.ack(2_000_001_001, BOTH), Added::default());
        assert_eq!(fresh(&mut stream, 2_000_001_001, 500), 0);
        let added = stream.ack(2_000_001_501, BOTH);
        assert_eq!((added.fresh, added.acked), (1500, 1500));
    }

    /// The answer to the SYN is lost, and so is nearly all of the first window and a half: what is within
    /// two windows of a SYN is believed of a receiver that says it three times, and the one segment
    /// that was seen is not forgotten.
    #[test]
    fn a_segment_seen_before_both_go_on_is_kept() {
        let reach = Reach { window: 131_070, is_two_sided: true };
        let mut stream = stream(0);
        assert_eq!(stream.data(20_232, 209, reach).fresh, 0);
        let added: Vec<Added> = (0..3).map(|_| stream.ack(65_651, reach)).collect();
        assert_eq!(added.iter().map(|added| added.fresh).sum::<u64>(), 209);
        // The last number may be a FIN's.
        assert_eq!(stream.acked(), 65_649);
    }

    #[test]
    fn a_forged_segment_or_acknowledgement_changes_nothing() {
        let mut stream = stream(0);
        fresh(&mut stream, 1, 1000);
        assert_eq!(fresh(&mut stream, 40_001, 1000), 0);
        assert_eq!(fresh(&mut stream, 900_000_001, 1000), 0);
        assert_eq!(stream.ack(60_001, BOTH).acked, 0);
        assert_eq!(stream.ack(700_000_001, BOTH).acked, 0);
        let mut seen = 1000;
        for seq in (1001..30_001).step_by(1000) {
            seen += fresh(&mut stream, seq, 1000);
            assert!(stream.ack(seq + 1000, BOTH).acked <= 2000);
        }
        let last = stream.finish(BOTH, &Stream::default());
        assert_eq!((seen, stream.acked(), last.fresh), (30_000, 30_000, 0));
    }

    #[test]
    fn selective_acknowledgement_vouches_for_an_island() {
        let mut stream = stream(0);
        fresh(&mut stream, 1, 1000);
        assert_eq!(fresh(&mut stream, 2001, 1000), 0);
        assert_eq!(stream.sack(2001, 3001).fresh, 1000);
        assert_eq!(fresh(&mut stream, 1001, 1000), 1000);
    }

    /// Only the inside-out direction reaches the mirror: nobody can corroborate anything.
    #[test]
    fn one_direction_is_believed_within_reason() {
        let mut stream = stream(0);
        assert_eq!(stream.data(1, 1000, ALONE).fresh, 1000);
        assert_eq!(stream.data(80_001, 1000, ALONE).fresh, 1000);
        assert_eq!(stream.data(1_001, 500, ALONE).fresh, 500);
        let mut answers = Stream::default();
        assert_eq!(answers.ack(5000, ALONE).acked, 0);
        assert_eq!(answers.ack(2_000_000, ALONE).acked, 1_994_999);
        assert_eq!(answers.finish(ALONE, &Stream::default()).acked, 1);
    }

    /// Met in the middle of a silence: a keep-alive's number is of a byte that was sent before.
    #[test]
    fn a_keep_alive_met_first_is_no_byte() {
        let mut stream = Stream::default();
        stream.empty(1000);
        assert_eq!(stream.ack(1001, BOTH).acked, 0);
        stream.empty(1000);
        assert_eq!(fresh(&mut stream, 1001, 100), 100);
        assert_eq!(stream.ack(1101, BOTH).acked, 100);
    }

    /// Of an upload only the server's answers are seen, and both ends close: the last number is the
    /// host's FIN.
    #[test]
    fn an_unseen_fin_is_no_byte() {
        for server_closes in [false, true] {
            let mut upload = Stream::default();
            let mut answers = stream(0);
            upload.ack(1, ALONE);
            upload.ack(1001, ALONE);
            if server_closes {
                answers.fin(1, ALONE);
            }
            upload.ack(1002, ALONE);
            if !server_closes {
                answers.fin(1, ALONE);
            }
            upload.finish(ALONE, &answers);
            assert_eq!(upload.acked(), 1000);
        }
    }

    /// The mirror shuffled an acknowledgement before the SYN.
    #[test]
    fn a_late_syn_moves_the_beginning() {
        let mut stream = Stream::default();
        assert_eq!(stream.ack(1001, BOTH).acked, 0);
        assert!(!stream.is_foreign_syn(0));
        assert!(stream.is_foreign_syn(900_000_000));
        assert_eq!(stream.syn(0).acked, 1000);
        assert_eq!(fresh(&mut stream, 1, 1000), 1000);
        assert_eq!(fresh(&mut stream, 1001, 1000), 1000);
        assert_eq!(stream.ack(2001, BOTH).acked, 1000);
        assert!(stream.is_foreign_syn(900));
    }

    proptest! {
        /// However segments are cut, repeated and reordered, each byte counts once, and all that is
        /// acknowledged counts.
        #[test]
        fn every_byte_counts_once(
            isn in any::<u32>(),
            cuts in prop::collection::vec((0u64..40_000, 1u32..3_000), 1..60),
        ) {
            let mut stream = stream(isn);
            let first = isn.wrapping_add(1);
            let mut seen = vec![false; 43_000];
            let mut counted = 0;
            for (start, len) in cuts {
                counted += fresh(&mut stream, first.wrapping_add(start as u32), len);
                seen[start as usize..][..len as usize].fill(true);
            }
            let end = seen.iter().rposition(|&seen| seen).map_or(0, |last| last as u32 + 1);
            counted += stream.ack(first.wrapping_add(end), BOTH).fresh;
            let expected = seen.iter().filter(|&&seen| seen).count() as u64;
            prop_assert_eq!(counted, expected);
            prop_assert_eq!(stream.acked(), u64::from(end));
        }

        /// No sequence of segments and acknowledgements, however forged, counts a byte twice or more
        /// acknowledged than there is line, and none panics.
        #[test]
        fn counts_stay_sane(
            ops in prop::collection::vec((any::<bool>(), any::<u32>(), 0u32..70_000, any::<bool>()), 1..200),
        ) {
            let mut stream = Stream::default();
            let (mut fresh, mut acked) = (0u64, 0u64);
            for (is_ack, seq, len, near) in ops {
                let seq = if near { seq % 200_000 } else { seq };
                let added = if is_ack { stream.ack(seq, BOTH) } else { stream.data(seq, len, BOTH) };
                fresh += added.fresh;
                acked += added.acked;
            }
            prop_assert!(fresh <= stream.next && acked == stream.acked && acked <= stream.next);
        }
    }
}
