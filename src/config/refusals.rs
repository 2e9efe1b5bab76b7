//! `pace` and `on_status`: how a carrier's refusals are taken. Owns: their defaults and ranges, the names of
//! statuses. Takes: the carrier's table. Gives: the settings. Never: a meaning for ESME_ROK, two for one status.

use super::keys;
use super::report::{Notes, Place};
use super::table::{Table, join};
use super::{TIMER_MAX, TIMER_MIN, units};
use crate::carrier::settings::{OnStatus, PaceSettings};
use crate::smpp::status::CommandStatus;
use crate::throttle::Rate;
use crate::time::Duration;

/// Statuses whose meaning a carrier may set; each refusal looks through them.
const ON_STATUS_MAX: usize = 256;
/// Vendors' numbers begin here (SMPP 5.0 §4.7.6); no name lies above.
const VENDOR_FIRST: u32 = 0x400;
const MIN_DEFAULT: Rate = Rate { units: 10, per: Duration::from_secs(1) };
const CUT_PERCENT_DEFAULT: u32 = 50;
const GROW_OVER_DEFAULT: Duration = Duration::from_secs(30);

/// Reads `pace` of a carrier with this rate; the default of `min` is never above it.
pub(super) fn read_pace(table: &Table<'_>, rate: Option<Rate>, notes: &mut Notes) -> PaceSettings {
    let slower = rate.filter(|rate| is_faster(MIN_DEFAULT, *rate));
    let mut pace = PaceSettings {
        min: slower.unwrap_or(MIN_DEFAULT),
        cut_percent: CUT_PERCENT_DEFAULT,
        grow_over: GROW_OVER_DEFAULT,
    };
    let allowed = "{ min = \"10/s\", cut = \"50%\", grow_over = \"30s\" }";
    let Some(item) = table.get("pace") else {
        return pace;
    };
    let Some(inner) = item.table(notes, allowed) else {
        return pace;
    };
    inner.check_keys(notes, &keys::PACE);
    pace.cut_percent = inner.percent(notes, "cut", 1..=90, pace.cut_percent);
    pace.grow_over = inner.duration(notes, "grow_over", TIMER_MIN..=TIMER_MAX, pace.grow_over);
    let Some(min) = inner.rate(notes, "min") else {
        return pace;
    };
    pace.min = min;
    if let (Some(rate), Some(set)) = (rate.filter(|rate| is_faster(min, *rate)), table.get("rate")) {
        let (min, rate) = (units::rate_text(min), units::rate_text(rate));
        let message = format!("min is {min} and the rate is {rate}");
        let problem = notes.error(item.place, item.path(), message);
        problem.allowed("min no faster than the rate").other(set.place, "the rate");
    }
    pace
}

/// True when `one` allows more than `two`.
fn is_faster(one: Rate, two: Rate) -> bool {
    u128::from(one.units) * two.per.as_nanos() > u128::from(two.units) * one.per.as_nanos()
}

/// Reads `on_status` in the order of the file; without an entry a status goes by its class.
pub(super) fn read_on_status(table: &Table<'_>, notes: &mut Notes) -> Vec<(CommandStatus, OnStatus)> {
    let actions = [
        ("slow_down", OnStatus::SlowDown),
        ("next", OnStatus::Next),
        ("retry", OnStatus::Retry),
        ("fail", OnStatus::Fail),
    ];
    let Some(item) = table.get("on_status") else {
        return Vec::new();
    };
    let Some(table) = item.table(notes, "{ ESME_RMSGQFUL = \"next\", \"0x0400\" = \"fail\" }") else {
        return Vec::new();
    };
    if table.entries.len() > ON_STATUS_MAX {
        let message = format!("found {} statuses", table.entries.len());
        notes.error(item.place, item.path(), message).allowed(format!("at most {ON_STATUS_MAX}"));
        return Vec::new();
    }
    let place = |span| Place::new(table.place.file, span);
    let mut names: Vec<(Place, &str)> =
        table.entries.keys().map(|key| (place(key.span()), key.get_ref().as_ref())).collect();
    names.sort_unstable();
    let mut taken: Vec<(CommandStatus, Place)> = Vec::with_capacity(names.len());
    let mut set = Vec::with_capacity(names.len());
    for (place, name) in names {
        let action = table.choice(notes, name, &actions, &[]);
        let path = join(&table.path, name);
        let Some(status) = CommandStatus::from_name(name).filter(|status| !status.is_ok()) else {
            let message =
                if CommandStatus::from_name(name).is_some() { "is no refusal" } else { "no such status" };
            let meant = nearest_status(name, notes);
            let problem = notes.error(place, path, message).allowed(STATUS_ALLOWED);
            if let Some(meant) = meant {
                problem.help(format!("did you mean `{meant}`?"));
            }
            continue;
        };
        if let Some((_, first)) = taken.iter().find(|(other, _)| *other == status) {
            notes.error(place, path, format!("{status} stands here twice")).other(*first, "first set here");
        }
        taken.push((status, place));
        set.extend(action.map(|action| (status, action)));
    }
    set
}

/// What may stand for a refusal.
pub(super) const STATUS_ALLOWED: &str =
    "an SMPP status other than ESME_ROK, such as \"ESME_RSUBMITFAIL\" or \"0x45\"";

/// The name of a refusal that `text` may be meant for.
pub(super) fn nearest_status(text: &str, notes: &Notes) -> Option<&'static str> {
    if !notes.suggests() || CommandStatus::from_name(text).is_some() {
        return None;
    }
    let names = (1..VENDOR_FIRST).filter_map(|value| CommandStatus(value).name());
    keys::nearest(&text.to_ascii_uppercase(), names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_faster_whatever_its_span() {
        let rate = |text: &str| units::rate(text).unwrap();
        assert!(is_faster(rate("10/s"), rate("599/m")));
        assert!(!is_faster(rate("10/s"), rate("600/m")));
        assert!(!is_faster(rate("3/h"), rate("1/m")));
    }

    #[test]
    fn a_slip_in_a_status_finds_its_name() {
        let notes = Notes::default();
        assert_eq!(nearest_status("ESME_RTHROTLED", &notes), Some("ESME_RTHROTTLED"));
        assert_eq!(nearest_status("esme_rmsgqful", &notes), Some("ESME_RMSGQFUL"));
        assert_eq!(nearest_status("ESME_ROK", &notes), None);
        assert_eq!(nearest_status("throttling", &notes), None);
    }
}
