//! The studies of a set before they run, and the part of the budget that each gets.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::experiment::{Experiment, Source, study_of};
use crate::plan::{Choices, Plan};
use crate::{BUILT_IN, LabError};

/// One study of a set before it runs.
pub(super) struct Member {
    pub(super) source: Source,
    pub(super) experiment: Experiment,
}

/// The names of all built-in studies if `all` is among `names`; otherwise `names`.
pub(super) fn expanded(names: &[String]) -> Vec<String> {
    if names.iter().any(|name| name == "all") {
        BUILT_IN.iter().map(|study| study.name.to_owned()).collect()
    } else {
        names.to_vec()
    }
}

/// Reads every experiment before the first one runs: a mistake in the last file must not show up half an hour later.
pub(super) fn members(names: &[String]) -> Result<Vec<Member>, LabError> {
    let mut taken = BTreeSet::new();
    let members = names.iter().map(|name| {
        let source = study_of(name)?;
        let experiment = Experiment::parse(&source)?;
        if !taken.insert(experiment.name.clone()) {
            return Err(LabError::Usage {
                option: "NAME|FILE",
                problem: format!(
                    "two studies are called '{}', which is also their folder",
                    experiment.name
                ),
            });
        }
        Ok(Member { source, experiment })
    });
    members.collect()
}

/// The order in which the members run, as their indices: as named; with a budget, the one that states the longest duration
/// last.
pub(super) fn in_order(members: &[Member], has_budget: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    if has_budget {
        order.sort_by_key(|&index| *members[index].experiment.seconds.get_ref());
    }
    order
}

/// The part of the remaining budget for the first of `coming`: in proportion to the durations that the studies state, as far
/// as that leaves each of them the time of one block.
pub(super) fn part(left_s: f64, coming: &[&Member], only: Option<&str>) -> Duration {
    let Some((first, rest)) = coming.split_first() else {
        return Duration::ZERO;
    };
    let stated = |member: &Member| *member.experiment.seconds.get_ref() as f64;
    let all: f64 = coming.iter().copied().map(stated).sum();
    let left = Duration::from_secs_f64(left_s.max(0.0));
    let for_others: Duration = rest.iter().map(|member| least(member, only)).sum();
    let share = left.mul_f64(stated(first) / all.max(1.0));
    share.min(left.saturating_sub(for_others)).max(least(first, only))
}

/// What one block of a study takes; nothing where the filter matches none of its cells.
pub(super) fn least(member: &Member, only: Option<&str>) -> Duration {
    let choices = Choices {
        only: only.map(str::to_owned),
        ..Choices::default()
    };
    Plan::resolve(&member.experiment, &choices, None).map_or(Duration::ZERO, |plan| plan.least())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_divided_by_the_stated_durations() {
        let all = members(&["quick".to_owned(), "paper/idle-connections".to_owned()]).expect("both are built in");
        let all: Vec<&Member> = all.iter().collect();
        let first = part(900.0, &all, None);
        let rest = part(900.0 - first.as_secs_f64(), &all[1..], None);
        assert!(first < rest);
        assert!((first + rest).abs_diff(Duration::from_secs(900)) < Duration::from_millis(1));
    }

    #[test]
    fn no_study_of_a_set_gets_less_than_one_block() {
        let all = members(&["quick".to_owned(), "paper/idle-connections".to_owned()]).expect("both are built in");
        let [quick, paper] = [&all[0], &all[1]].map(|member| least(member, None));
        assert!(quick > Duration::ZERO && paper > quick, "{quick:?}, {paper:?}");
        let all: Vec<&Member> = all.iter().collect();
        assert_eq!(
            part(-1.0, &all, None),
            quick,
            "what is overspent takes no block from it"
        );
        let both = (quick + paper).as_secs_f64();
        let first = part(both, &all, None);
        assert_eq!(first, quick);
        assert!(part(both - first.as_secs_f64(), &all[1..], None).abs_diff(paper) < Duration::from_millis(1));
        assert_eq!(least(all[0], Some("nonsense")), Duration::ZERO);
    }

    #[test]
    fn the_longest_studies_of_a_set_with_a_budget_run_last() {
        let names = ["paper/idle-connections", "quick", "today/trigger", "today/slow-request"];
        let all = members(&names.map(str::to_owned)).expect("all are built in");
        assert_eq!(in_order(&all, true), [2, 3, 1, 0]);
        assert_eq!(in_order(&all, false), [0, 1, 2, 3]);
    }

    #[test]
    fn a_mistake_in_any_of_them_is_found_before_the_first_runs() {
        let error = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            members(&names).err().expect("refused").to_string()
        };
        assert!(error(&["quick", "paper/nothing"]).contains("paper/nothing"));
        assert!(error(&["quick", "quick"]).contains("two studies are called 'quick'"));
    }
}
