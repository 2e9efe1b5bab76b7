use super::*;
use crate::smpp::id_form::IdForm;
use crate::time::Duration;

const A: CarrierId = CarrierId(0);
const B: CarrierId = CarrierId(1);

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn add(ledger: &mut Ledger, carrier: CarrierId, id: &str, esme: u32, destination: &str) -> EntryKey {
    add_as(ledger, carrier, id, Given::Carrier, esme, destination)
}

fn add_as(
    ledger: &mut Ledger,
    carrier: CarrierId,
    id: &str,
    given: Given,
    esme: u32,
    destination: &str,
) -> EntryKey {
    add_at(ledger, at(0), (carrier, id, given), esme, destination)
}

fn add_at(
    ledger: &mut Ledger,
    now: Instant,
    (carrier, id, given): (CarrierId, &str, Given),
    esme: u32,
    destination: &str,
) -> EntryKey {
    ledger.insert(
        now,
        &NewEntry {
            record: 0,
            carrier,
            id: id.as_bytes(),
            given,
            esme: EsmeId(esme),
            link: LinkId::default(),
            mark: 0,
            destination: &Destinations::One(AddressTail::of(destination.as_bytes())),
            awaited: 1,
        },
    )
}

fn find(learner: &FormLearner, ledger: &Ledger, id: &str, destination: &str) -> Option<EntryKey> {
    learner.find(ledger, A, id.as_bytes(), AddressTail::of(destination.as_bytes()))
}

#[test]
fn tails_agree_when_the_shorter_ends_the_longer() {
    let tail = |text: &str| AddressTail::of(text.as_bytes());
    assert!(tail("38267123456").agrees(tail("067123456")));
    assert!(tail("38267123456").agrees(tail("3456")));
    assert!(!tail("38267123456").agrees(tail("38267123457")));
    assert!(tail("").agrees(tail("1")) && AddressTail::ANY.agrees(tail("38267123456")));
}

#[test]
fn a_receipt_finds_its_message_under_any_form_while_nothing_is_known() {
    for (response, receipt) in
        [("1234567890", "1234567890"), ("499602D2", "1234567890"), ("1234567890", "499602d2")]
    {
        let (mut ledger, learner) = (Ledger::new(), FormLearner::new(None));
        let key = add(&mut ledger, A, response, 1, "38267123456");
        assert_eq!(find(&learner, &ledger, receipt, "38267123456"), Some(key), "{response} {receipt}");
        assert_eq!(find(&learner, &ledger, receipt, "38267123457"), None, "another destination");
    }
}

#[test]
fn dense_ids_in_two_forms_are_never_misdirected() {
    // Decimal 10–99 and the same numbers in hexadecimal, of two accounts: "10" is 10 of one, 16 of the other.
    let (mut ledger, learner) = (Ledger::new(), FormLearner::new(None));
    for n in 10..100u32 {
        add(&mut ledger, A, &n.to_string(), 1, &format!("3826700{n:04}"));
    }
    for n in 10..100u32 {
        let receipt = format!("{n:X}");
        if let Some(found) = find(&learner, &ledger, &receipt, &format!("3826700{n:04}")) {
            assert_eq!(ledger.get(found).unwrap().id.as_slice(), n.to_string().as_bytes());
        }
    }
}

#[test]
fn twenty_agreeing_matches_lock_the_form_and_a_contradiction_unlocks_it() {
    let mut learner = FormLearner::new(None);
    for n in 0..19u32 {
        learner.learn(format!("{:X}", 0xABC0 + n).as_bytes(), (0xABC0 + n).to_string().as_bytes());
    }
    assert_eq!(learner.locked(), None);
    learner.learn(b"ABCDE", b"703710");
    assert_eq!(learner.locked(), Some(IdForm::RespHexReceiptDec));
    learner.learn(b"123", b"123");
    assert_eq!(learner.locked(), None);
}

#[test]
fn a_locked_form_needs_no_destination_but_tells_twins_apart_by_it() {
    let (mut ledger, learner) = (Ledger::new(), FormLearner::new(Some(IdForm::Dec)));
    let first = add(&mut ledger, A, "77", 1, "111");
    assert_eq!(find(&learner, &ledger, "0077", "999"), Some(first));
    let second = add(&mut ledger, A, "77", 2, "222");
    assert_eq!(find(&learner, &ledger, "77", "222"), Some(second));
    assert_eq!(find(&learner, &ledger, "77", "333"), None, "no telling which");
}

#[test]
fn carriers_do_not_see_each_others_ids() {
    let (mut ledger, learner) = (Ledger::new(), FormLearner::new(None));
    add(&mut ledger, B, "5", 1, "111");
    assert_eq!(find(&learner, &ledger, "5", "111"), None);
}

#[test]
fn an_account_finds_its_own_messages_only() {
    let mut ledger = Ledger::new();
    let own = add_as(&mut ledger, A, "c1", Given::Own(42), 1, "1");
    let short = add_as(&mut ledger, A, "c2", Given::Short(0xAB), 1, "1");
    let carriers = add(&mut ledger, B, "77AA", 1, "1");
    let found = |esme, id: &str| ledger.of_account(EsmeId(esme), id.as_bytes(), 2).map(|(key, _)| key);
    assert_eq!(found(1, "42"), Some(own));
    assert_eq!(found(1, "000000AB"), Some(short));
    assert_eq!(found(1, "77AA"), Some(carriers));
    assert_eq!(found(2, "42"), None);
    assert_eq!(found(2, "77AA"), None);
    assert_eq!(found(1, "c1"), None, "it was never given that id");
}

#[test]
fn own_ids_are_found_in_whatever_order_their_messages_come() {
    let mut ledger = Ledger::new();
    let given = [5, 9, 7, 20, 12, 21, 6];
    let keys: Vec<_> = given
        .iter()
        .map(|&own| (own, add_as(&mut ledger, A, &format!("c{own}"), Given::Own(own), 1, "1")))
        .collect();
    let found = |ledger: &Ledger, own: u64| {
        ledger.of_account(EsmeId(1), own.to_string().as_bytes(), 1).map(|(key, _)| key)
    };
    for (own, key) in &keys {
        assert_eq!(found(&ledger, *own), Some(*key), "{own}");
    }
    for (own, key) in &keys {
        ledger.remove(*key);
        assert_eq!(found(&ledger, *own), None, "{own}");
    }
    assert!(ledger.by_own.is_empty());
    add_as(&mut ledger, A, "c", Given::Own(30), 1, "1");
    assert_eq!(ledger.own.len(), 1, "stale ones have gone");
}

#[test]
fn a_removed_entry_is_found_by_nobody() {
    let (mut ledger, learner) = (Ledger::new(), FormLearner::new(None));
    let key = add_as(&mut ledger, A, "5", Given::Own(9), 1, "1");
    ledger.remove(key);
    ledger.remove(key);
    assert!(ledger.is_empty() && ledger.get(key).is_none());
    assert_eq!(find(&learner, &ledger, "5", "1"), None);
    assert!(ledger.of_account(EsmeId(1), b"9", 2).is_none());
    let next = add(&mut ledger, A, "6", 1, "1");
    assert!(ledger.get(key).is_none() && ledger.get(next).is_some());
}

#[test]
fn the_table_stays_within_its_bounds() {
    let mut ledger = Ledger::new();
    for n in 0..(LEDGER_RECENT_MAX as u32 + 5000) {
        let key = add(&mut ledger, A, &n.to_string(), 1, "1");
        ledger.receipt_done(key, 0);
    }
    assert!(ledger.len() <= LEDGER_RECENT_MAX + 2, "{}", ledger.len());
    assert_eq!(ledger.evicted(), 0);
}

#[test]
fn receipts_alone_stay_within_the_bound_too() {
    let mut ledger = Ledger::new();
    let add = |n: usize| add(&mut ledger, A, &n.to_string(), 1, "1");
    let keys: Vec<EntryKey> = (0..LEDGER_RECENT_MAX + 5000).map(add).collect();
    keys.iter().for_each(|key| ledger.receipt_done(*key, 0));
    assert!(ledger.len() <= LEDGER_RECENT_MAX, "{}", ledger.len());
    assert!(ledger.get(keys[LEDGER_RECENT_MAX]).is_some_and(|entry| entry.done));
}

#[test]
fn at_a_high_rate_fewer_are_remembered_and_at_a_low_one_as_many_as_ever() {
    let (mut ledger, mut serial) = (Ledger::new(), 0);
    let mut second = |ledger: &mut Ledger, second: u64, messages: usize| {
        for nth in 0..messages as u64 {
            let now = at(second).after(Duration::from_micros(nth));
            let key = add_at(ledger, now, (A, &serial.to_string(), Given::Carrier), 1, "1");
            ledger.receipt_done(key, 0);
            serial += 1;
        }
        ledger.len()
    };
    let slow = (1..=20).map(|now| second(&mut ledger, now, LEDGER_RECENT_FAST)).last();
    assert!(
        slow.is_some_and(|slow| (LEDGER_RECENT_MAX - 64..=LEDGER_RECENT_MAX + 2).contains(&slow)),
        "{slow:?}"
    );
    second(&mut ledger, 21, 3 * LEDGER_RECENT_FAST);
    // One that comes puts out 64 at most, and so does its receipt.
    assert!(second(&mut ledger, 22, 100) > LEDGER_RECENT_MAX - 100 * 128);
    let fast = second(&mut ledger, 22, 3 * LEDGER_RECENT_FAST);
    assert!((LEDGER_RECENT_FAST - 64..=LEDGER_RECENT_FAST + 2).contains(&fast), "{fast}");
    assert!(ledger.recent.capacity() <= 4 * LEDGER_RECENT_FAST, "{}", ledger.recent.capacity());
    let quiet = second(&mut ledger, 23, 10);
    assert_eq!(second(&mut ledger, 24, 1000), quiet + 1000, "it is quiet again");
}

#[test]
fn one_message_without_a_receipt_does_not_hold_the_others() {
    let mut ledger = Ledger::new();
    let stuck = add(&mut ledger, A, "stuck", 1, "1");
    for n in 0..(4 * LEDGER_RECENT_MAX as u32) {
        let key = add(&mut ledger, A, &n.to_string(), 1, "1");
        ledger.receipt_done(key, 0);
    }
    assert!(ledger.get(stuck).is_some());
    assert!(ledger.len() <= LEDGER_RECENT_MAX + 3, "{}", ledger.len());
    assert!(ledger.awaiting.len() <= LEDGER_RECENT_MAX + 3, "{}", ledger.awaiting.len());
}

#[test]
fn what_is_never_receipted_goes_after_72_hours() {
    let mut ledger = Ledger::new();
    let old = add(&mut ledger, A, "1", 1, "1");
    let entry = NewEntry {
        record: 0,
        carrier: A,
        id: b"2",
        given: Given::Carrier,
        esme: EsmeId(1),
        link: LinkId::default(),
        mark: 0,
        destination: &Destinations::One(AddressTail::ANY),
        awaited: 1,
    };
    ledger.insert(at(72 * 3600 + 1), &entry);
    assert!(ledger.get(old).is_none());
    assert_eq!(ledger.evicted(), 1);
}

#[test]
fn a_message_that_nobody_asked_a_receipt_for_is_found_all_the_same() {
    let mut ledger = Ledger::new();
    let count = 3 * LEDGER_UNSORTED_MAX;
    for n in 0..count {
        let id = n.to_string();
        let new = NewEntry {
            record: 0,
            carrier: A,
            id: id.as_bytes(),
            given: Given::Own(n as u64 + 1),
            esme: EsmeId(1),
            link: LinkId::default(),
            mark: 0,
            destination: &Destinations::One(AddressTail::of(b"38267123456")),
            awaited: u16::from(n % 1000 == 0),
        };
        ledger.keep(at(1), &new);
    }
    assert_eq!(ledger.unsorted.len(), LEDGER_UNSORTED_MAX);
    ledger.look();
    assert!(ledger.unsorted.is_empty());
    let learner = FormLearner::new(Some(IdForm::AsIs));
    let found = |ledger: &Ledger, n: usize| {
        let key = find(&learner, ledger, &n.to_string(), "38267123456");
        let own = ledger.of_account(EsmeId(1), (n + 1).to_string().as_bytes(), 2).map(|(key, _)| key);
        assert_eq!(key, own);
        key.is_some()
    };
    assert!(found(&ledger, 0) && found(&ledger, LEDGER_UNSORTED_MAX - 1), "the first were sorted in at once");
    assert!(found(&ledger, 17_000), "it waits for its receipt");
    assert!(!found(&ledger, LEDGER_UNSORTED_MAX + 1), "too old");
    assert!(found(&ledger, count - LEDGER_UNSORTED_MAX + 20) && found(&ledger, count - 1));
    assert!(ledger.len() <= LEDGER_RECENT_MAX + 100);
}

#[test]
fn the_destinations_of_a_submit_multi_have_their_receipts_apart() {
    let tail = |digits: &str| AddressTail::of(digits.as_bytes());
    let tails = Destinations::Several([tail("38267000001"), tail("38267000002")].into());
    let new = NewEntry {
        record: 0,
        carrier: A,
        id: b"10",
        given: Given::Carrier,
        esme: EsmeId(1),
        link: LinkId::default(),
        mark: 0,
        destination: &tails,
        awaited: 2,
    };
    let (mut ledger, learner) = (Ledger::new(), FormLearner::new(None));
    let key = ledger.insert(at(0), &new);
    assert_eq!(find(&learner, &ledger, "10", "38267000003"), None, "somebody else's");
    assert_eq!(find(&learner, &ledger, "16", "38267000002"), Some(key), "in another base");
    let mut begin = |digits, is_final| ledger.get_mut(key).unwrap().begin(tail(digits), is_final);
    assert_eq!(begin("38267000001", false), Begun::News(0));
    assert_eq!(begin("38267000001", true), Begun::News(0));
    assert_eq!(begin("38267000001", true), Begun::Busy);
    assert_eq!(begin("38267000002", true), Begun::News(1));
    ledger.receipt_done(key, 0);
    ledger.receipt_back(key, 1);
    let mut begin = |digits| ledger.get_mut(key).unwrap().begin(tail(digits), true);
    assert_eq!((begin("38267000001"), begin("38267000002")), (Begun::Over, Begun::News(1)));
    ledger.receipt_done(key, 1);
    assert!(ledger.get(key).unwrap().done);
}

#[test]
fn ids_in_the_same_room_are_written_as_alone() {
    let mut room = IdRoom::default();
    let near = (0..50_000).map(|n| 9_800 + n * 64);
    let ends =
        [0, 9, 9_999, 10_000, 19_999, 20_000, 99_999, 100_000, u64::MAX, u64::MAX - 1, 1, u64::MAX - 9_999];
    let spread = (0..10_000_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (n % 64));
    for number in near.chain(ends).chain(spread) {
        for number in [number, number ^ 1, number.wrapping_add(9_000)] {
            let text = Given::Own(number).text_in(&mut room).map(<[u8]>::to_vec);
            assert_eq!(text, Some(number.to_string().into_bytes()));
        }
        assert_eq!(Given::Carrier.text_in(&mut room), None);
        assert_eq!(Given::Short(0xAB).text_in(&mut room), Some(&b"000000AB"[..]));
    }
}
