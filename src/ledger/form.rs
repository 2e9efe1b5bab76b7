//! How a carrier writes ids, learnt from its receipts, and the search for a receipt's message.
//!
//! Owns: the forms that all matches so far agree with. Takes: matches. Gives: the form, once 20 matches agree. Never:
//! takes a match on the id alone before that: the destination must agree and no other message may fit (design 13).

use super::{AddressTail, Entry, EntryKey, Ledger};
use crate::ids::CarrierId;
use crate::limits::ID_FORM_MATCHES;
use crate::smpp::id_form::{IdForm, IdForms, matches, receipt_key, receipt_keys};

/// What is known of one carrier's ids.
#[derive(Debug, Clone)]
pub struct FormLearner {
    forms: IdForms,
    agreed: u32,
    locked: Option<IdForm>,
    /// Set by the operator: compared exactly as said.
    set: bool,
}

impl FormLearner {
    /// `set`: what the operator said; `None`: learn it.
    #[must_use]
    pub const fn new(set: Option<IdForm>) -> Self {
        Self { forms: IdForms::ALL, agreed: 0, locked: set, set: set.is_some() }
    }

    /// The form, when it is known.
    #[must_use]
    pub const fn locked(&self) -> Option<IdForm> {
        self.locked
    }

    /// A receipt's id was found to be that of a response.
    pub fn learn(&mut self, response_id: &[u8], receipt_id: &[u8]) {
        if self.set {
            return;
        }
        let common = self.forms.of_these(response_id, receipt_id);
        if common.is_empty() {
            // The carrier writes otherwise than it did: learn anew.
            let forms = IdForms::of(response_id, receipt_id);
            *self = Self { forms, agreed: 1, locked: None, set: false };
            return;
        }
        self.forms = common;
        self.agreed = self.agreed.saturating_add(1);
        if self.agreed >= ID_FORM_MATCHES {
            self.locked = self.forms.strictest();
        }
    }

    /// The one message that a receipt of `carrier` belongs to; `None` when there is none, or no telling which.
    #[must_use]
    pub fn find(
        &self,
        ledger: &Ledger,
        carrier: CarrierId,
        receipt_id: &[u8],
        destination: AddressTail,
    ) -> Option<EntryKey> {
        match self.locked {
            Some(form) => self.find_locked(form, ledger, carrier, receipt_id, destination),
            None => find_open(ledger, carrier, receipt_id, destination),
        }
    }

    /// Where in the index the message of a receipt with this id is, most likely.
    #[must_use]
    pub fn place_of(&self, carrier: CarrierId, receipt_id: &[u8]) -> u64 {
        super::id_hash(carrier, receipt_key(self.locked.unwrap_or(IdForm::AsIs), receipt_id))
    }

    fn find_locked(
        &self,
        form: IdForm,
        ledger: &Ledger,
        carrier: CarrierId,
        receipt_id: &[u8],
        destination: AddressTail,
    ) -> Option<EntryKey> {
        // A learnt form of one base still meets ids whose zeros or case differ; the operator's word is exact.
        let form = if form.is_of_one_base() && !self.set { IdForm::Hex } else { form };
        let key = receipt_key(form, receipt_id);
        let fits = |(_, entry): &(EntryKey, &Entry)| matches(form, &entry.id, receipt_id);
        let mut fitting = ledger.with_key(carrier, key).filter(fits);
        let (only, _) = fitting.next()?;
        if fitting.next().is_none() {
            return Some(only);
        }
        let best = |exact_too: bool| {
            let mut fit = ledger.with_key(carrier, key).filter(fits).filter(|(_, entry)| {
                entry.agrees(destination) && (!exact_too || entry.id.as_slice() == receipt_id)
            });
            let (at, _) = fit.next()?;
            fit.next().is_none().then_some(at)
        };
        best(true).or_else(|| best(false))
    }
}

fn find_open(
    ledger: &Ledger,
    carrier: CarrierId,
    receipt_id: &[u8],
    destination: AddressTail,
) -> Option<EntryKey> {
    let mut only = None;
    for candidate in receipt_keys(receipt_id) {
        for (at, entry) in ledger.with_key(carrier, candidate.key) {
            if IdForms::of(&entry.id, receipt_id).is_empty() || only == Some(at) {
                continue;
            }
            if only.is_some() {
                return None;
            }
            only = Some(at);
        }
    }
    only.filter(|&at| ledger.get(at).is_some_and(|entry| entry.agrees(destination)))
}
