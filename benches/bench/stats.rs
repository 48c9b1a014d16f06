//! Medians, ratios inside a round, and the rule for what is more than noise.
//!
//! # The noise rule
//!
//! Two rows of two runs differ *beyond noise* when all of this holds:
//!
//! 1. both have at least [`ENOUGH`] rounds, and in each no more than half of them were disturbed;
//! 2. their ranges do not touch: the worst round of the one is better than the best of the other.
//!    If nothing changed, 5 rounds against 5 do that once in 126 times, 7 against 7 once in 1716;
//! 3. the medians differ by more than the metric's own margin ([`crate::catalog::Metric::margin`]),
//!    which covers what changes between two starts of the same program and not inside one run, such
//!    as where the system puts its memory; and
//! 4. the medians differ by more than the mean of the two rows' spreads, (max - min) / median.
//!
//! No assumption about the shape of the distribution is made, because it is not normal: programs
//! on one machine have two or three speeds, and which one they get is decided at their start.
//!
//! A t-test was rejected for that reason, confidence intervals by bootstrap because with 7 rounds
//! they say no more than minimum and maximum do.

/// Rounds that a row needs before it is judged.
pub(crate) const ENOUGH: usize = 5;

/// A row's figures in short.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) runs: usize,
}

/// The middle figure; of an even number of them, halfway between the middle two.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The summary of the rounds in which there is a figure; none if there is none in any.
pub(crate) fn summary(rounds: &[Option<f64>]) -> Option<Summary> {
    let values: Vec<f64> = rounds
        .iter()
        .flatten()
        .copied()
        .filter(|v| v.is_finite())
        .collect();
    Some(Summary {
        median: median(&values)?,
        min: values.iter().copied().fold(f64::INFINITY, f64::min),
        max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        runs: values.len(),
    })
}

/// The median over the rounds of `these / those` inside each round.
pub(crate) fn ratio(these: &[Option<f64>], those: &[Option<f64>]) -> Option<f64> {
    let ratios: Vec<f64> = these
        .iter()
        .zip(those)
        .filter_map(|(this, that)| Some(((*this)?, (*that)?)))
        .filter(|(_, that)| *that != 0.0)
        .map(|(this, that)| this / that)
        .collect();
    median(&ratios)
}

/// What the noise rule says about two rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Too few rounds, or too many of them disturbed.
    Unjudged,
    /// No difference beyond noise.
    Same,
    /// The second is better.
    Better,
    /// The second is worse.
    Worse,
}

/// A row as the noise rule sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    pub(crate) summary: Summary,
    /// How many of its rounds were disturbed.
    pub(crate) disturbed: usize,
}

impl Side {
    fn judged(&self) -> bool {
        self.summary.runs >= ENOUGH && self.disturbed * 2 <= self.summary.runs
    }

    fn spread(&self) -> f64 {
        let scale = self.summary.median.abs().max(f64::MIN_POSITIVE);
        (self.summary.max - self.summary.min) / scale
    }
}

/// How much more the second median is than the first: 0.1 is ten per cent.
pub(crate) fn change(before: Summary, after: Summary) -> f64 {
    if before.median == after.median {
        0.0
    } else {
        (after.median - before.median) / before.median.abs().max(f64::MIN_POSITIVE)
    }
}

/// The noise rule.
pub(crate) fn judge(before: Side, after: Side, margin: f64, lower_is_better: bool) -> Verdict {
    if !before.judged() || !after.judged() {
        return Verdict::Unjudged;
    }
    let (a, b) = (before.summary, after.summary);
    let rose = b.min > a.max;
    let fell = b.max < a.min;
    // Of the smaller median, so that the rule is the same in both directions.
    let smaller = a.median.abs().min(b.median.abs()).max(f64::MIN_POSITIVE);
    let apart = (a.median - b.median).abs() / smaller;
    let spread = f64::midpoint(before.spread(), after.spread());
    if !(rose || fell) || apart <= margin || apart <= spread {
        Verdict::Same
    } else if rose == lower_is_better {
        Verdict::Worse
    } else {
        Verdict::Better
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(values: &[f64], disturbed: usize) -> Side {
        let rounds: Vec<_> = values.iter().copied().map(Some).collect();
        Side {
            summary: summary(&rounds).unwrap(),
            disturbed,
        }
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
        assert_eq!(median(&[f64::NAN, 2.0]), Some(2.0));
    }

    #[test]
    fn a_round_without_a_figure_does_not_count() {
        let s = summary(&[Some(4.0), None, Some(2.0)]).unwrap();
        assert_eq!(
            s,
            Summary {
                median: 3.0,
                min: 2.0,
                max: 4.0,
                runs: 2
            }
        );
        assert_eq!(summary(&[None, None]), None);
    }

    #[test]
    fn ratios_are_taken_inside_a_round() {
        // The machine was half as fast in the second round; the ratio does not show it.
        let corio = [Some(10.0), Some(20.0), Some(10.0)];
        let peer = [Some(30.0), Some(60.0), Some(30.0)];
        assert_eq!(ratio(&peer, &corio), Some(3.0));
        assert_eq!(ratio(&[Some(30.0), None], &[None, Some(10.0)]), None);
        assert_eq!(ratio(&[Some(1.0)], &[Some(0.0)]), None);
    }

    #[test]
    fn the_noise_rule() {
        let base = side(&[100.0, 101.0, 99.0, 100.0, 102.0], 0);
        let slower = side(&[130.0, 131.0, 129.0, 130.0, 132.0], 0);
        assert_eq!(judge(base, slower, 0.1, true), Verdict::Worse);
        assert_eq!(judge(slower, base, 0.1, true), Verdict::Better);
        assert_eq!(judge(base, slower, 0.1, false), Verdict::Better);
        assert_eq!(judge(base, base, 0.1, true), Verdict::Same);
        // Apart, but by less than the margin.
        let near = side(&[105.0, 106.0, 104.0, 105.0, 107.0], 0);
        assert_eq!(judge(base, near, 0.1, true), Verdict::Same);
        // One round of the slower one was as fast as before.
        let touching = side(&[130.0, 131.0, 101.0, 130.0, 132.0], 0);
        assert_eq!(judge(base, touching, 0.1, true), Verdict::Same);
        // Apart, but both spread widely.
        let wide = side(&[100.0, 150.0, 190.0, 110.0, 140.0], 0);
        let wider = side(&[195.0, 200.0, 300.0, 196.0, 197.0], 0);
        assert_eq!(judge(wide, wider, 0.1, true), Verdict::Same);
    }

    #[test]
    fn few_or_disturbed_rounds_are_not_judged() {
        let base = side(&[100.0; 5], 0);
        assert_eq!(
            judge(base, side(&[200.0; 4], 0), 0.1, true),
            Verdict::Unjudged
        );
        assert_eq!(
            judge(base, side(&[200.0; 5], 3), 0.1, true),
            Verdict::Unjudged
        );
        assert_eq!(judge(base, side(&[200.0; 5], 2), 0.1, true), Verdict::Worse);
    }
}
