//! Mail that relays inside carry: who submitted it has sent it.

use indexmap::IndexMap;

use super::Analyst;
use crate::egress::{Crossing, Destination, Onward, Place};
use crate::flow::{FlowKey, Sender};
use crate::names::{Facts, Service};
use crate::net::Addr;
use crate::rules::Role;

/// Open flows of mail that a relay takes in, or passes on. At most [`Mails::MAX`]; more are not taken: they
/// stay inside, or are the relay's own.
#[derive(Debug, Default, Clone)]
pub(super) struct Mails(IndexMap<FlowKey, Mail, foldhash::fast::RandomState>);

#[derive(Debug, Clone, Copy)]
enum Mail {
    /// A client's, for somebody outside.
    Submitted { client: Sender, to: Destination },
    /// A relay's, for its clients.
    PassedOn,
}

impl Mails {
    const MAX: usize = 1 << 14;

    fn note(&mut self, flow: &FlowKey, mail: Mail) {
        if self.0.len() < Self::MAX || self.0.contains_key(flow) {
            self.0.insert(*flow, mail);
        }
    }

    /// The client of a mail that a relay takes in, and for whom it is.
    pub(super) fn submitted(&self, flow: &FlowKey) -> Option<(Sender, Destination)> {
        match self.0.get(flow)? {
            Mail::Submitted { client, to } => Some((*client, *to)),
            Mail::PassedOn => None,
        }
    }

    /// What a flow to a destination counts as, where a relay is involved.
    pub(super) fn onward(&self, flow: &FlowKey, to: Destination) -> Onward {
        if self.0.contains_key(flow) { Onward::Mail } else { Onward::To(to) }
    }

    /// A flow is over.
    pub(super) fn end(&mut self, flow: &FlowKey) {
        self.0.swap_remove(flow);
    }
}

impl Analyst {
    /// Takes note of a flow of mail: who speaks SMTP to the outside is a relay from then on, as is who is declared
    /// to be one.
    pub(super) fn hear_mail(&mut self, flow: &FlowKey, facts: &Facts) {
        let Some(client) = facts.mail_by.filter(|_| facts.service == Service::Smtp) else { return };
        match Place::of(self.egress.internal(), flow) {
            Place::Border(Crossing { host, side, .. }) if side == client => {
                self.relays.know_mail(host);
                self.mails.note(flow, Mail::PassedOn);
            }
            Place::Inside if self.is_mail_relay(flow.end(client.other()).addr) => {
                let Some(name) = &facts.mail_for else { return };
                if let (Some(to), Some(owner)) = (name.destination(), name.owner()) {
                    self.directory.learn_text(owner, facts.seen_at);
                    self.mails.note(flow, Mail::Submitted { client, to });
                }
            }
            Place::Border(_) | Place::Inside | Place::Outside | Place::Relayed(_) => {}
        }
    }

    fn is_mail_relay(&self, addr: Addr) -> bool {
        self.relays.knows_mail(addr) || self.rules.networks.role_of(addr) == Some(Role::Mail)
    }
}
