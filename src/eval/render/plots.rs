//! Three pictures: intervals per system and subset, lengths of outputs, scores by length of findings.

use super::TITLES;
use crate::eval::compare::Evaluation;
use crate::render::svg::{Anchor, SYSTEMS, Svg, short, ticks};

/// Metrics that the intervals are shown of. ROUGE-Lsum is ROUGE-L wherever outputs have one line.
const SHOWN: [usize; 3] = [0, 1, 2];
/// The metric of the scores by length.
const ROUGE_L: usize = 2;

/// Means and intervals: a row a system, grouped by subset, a panel a metric.
pub(super) fn intervals(evaluation: &Evaluation) -> String {
    const LABELS: f64 = 150.0;
    const PANEL: f64 = 230.0;
    const GAP: f64 = 38.0;
    const ROW: f64 = 17.0;
    const HEAD: f64 = 26.0;
    const TOP: f64 = 34.0;
    let systems = evaluation.systems.len();
    let block = HEAD + ROW * systems as f64 + 8.0;
    let height = TOP + block * evaluation.subsets.len() as f64 + 26.0;
    let width = LABELS + (PANEL + GAP) * SHOWN.len() as f64;
    let mut svg = Svg::new(width, height);
    let left = |panel: usize| LABELS + (PANEL + GAP) * panel as f64;
    let bottom = height - 24.0;
    for (panel, metric) in SHOWN.into_iter().enumerate() {
        let middle = left(panel) + PANEL / 2.0;
        svg.text("head", (middle, 18.0), Anchor::Middle, TITLES[metric]);
        for tick in ticks(1.0, 5) {
            let x = left(panel) + tick * PANEL;
            svg.line("grid", (x, TOP), (x, bottom));
            svg.text("tick", (x, bottom + 16.0), Anchor::Middle, &format!("{tick:.1}"));
        }
    }
    for (at, subset) in evaluation.subsets.iter().enumerate() {
        let y = TOP + block * at as f64;
        let title = format!("{} ({})", subset.name, subset.rows.len());
        svg.text("head", (4.0, y + 17.0), Anchor::Start, &title);
        svg.line("rule", (0.0, y), (width - GAP, y));
        for (index, system) in evaluation.systems.iter().enumerate() {
            let y = y + HEAD + ROW * (index as f64 + 0.5);
            svg.text("label", (LABELS - 12.0, y + 4.0), Anchor::End, &short(&system.name));
            for (panel, metric) in SHOWN.into_iter().enumerate() {
                let mean = system.means[at][metric];
                let x = |value: f64| left(panel) + value * PANEL;
                let class = format!("whisker s{}", index % SYSTEMS);
                svg.line(&class, (x(mean.low), y), (x(mean.high), y));
                let title = format!(
                    "{}, {}, {}: {:.3} [{:.3}, {:.3}]",
                    system.name, subset.name, TITLES[metric], mean.f1, mean.low, mean.high
                );
                svg.mark(index, (x(mean.f1), y), 4.5, &title);
            }
        }
    }
    svg.finish(
        "Mean F1 with 95 % intervals, by subset and system",
        "The same figures stand in the tables below",
    )
}

/// Axes of a plot with ticks; gives back where values lie.
struct Axes {
    x_end: f64,
    y_end: f64,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 46.0;

impl Axes {
    fn new(svg: &mut Svg, (x_end, x_name): (f64, &str), (y_end, y_name): (f64, &str)) -> Axes {
        let (xs, ys) = (ticks(x_end, 8), ticks(y_end, 5));
        let end = |ticks: &[f64]| ticks.last().copied().unwrap_or(1.0);
        let axes = Axes { x_end: end(&xs), y_end: end(&ys) };
        let places = |step: f64| if step < 0.999 { 1 } else { 0 };
        for tick in &ys {
            let (left, y) = axes.at(0.0, *tick);
            svg.line("grid", (left, y), (WIDTH - RIGHT, y));
            let label = format!("{tick:.*}", places(axes.y_end / 5.0));
            svg.text("tick", (left - 8.0, y + 4.0), Anchor::End, &label);
        }
        for tick in &xs {
            let (x, bottom) = axes.at(*tick, 0.0);
            svg.line("rule", (x, bottom), (x, bottom + 4.0));
            svg.text("tick", (x, bottom + 17.0), Anchor::Middle, &format!("{tick:.0}"));
        }
        svg.line("rule", axes.at(0.0, 0.0), axes.at(axes.x_end, 0.0));
        svg.text("tick", (WIDTH - RIGHT, HEIGHT - 6.0), Anchor::End, &format!("{x_name} →"));
        svg.text("tick", (LEFT, TOP - 12.0), Anchor::Start, &format!("↑ {y_name}"));
        axes
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        (LEFT + x / self.x_end * width, HEIGHT - BOTTOM - y / self.y_end * height)
    }
}

/// How many outputs of the first system, and how many references, have how many words.
pub(super) fn lengths(evaluation: &Evaluation) -> String {
    const BINS: usize = 24;
    let Some(system) = evaluation.systems.first() else { return String::new() };
    let longest = |lengths: &[usize]| lengths.iter().copied().max().unwrap_or(0);
    let longest = longest(&evaluation.reference_lengths).max(longest(&system.lengths));
    let step = (longest + 1).div_ceil(BINS).max(1);
    let bins = longest / step + 1;
    let count = |lengths: &[usize]| {
        let mut counts = vec![0usize; bins];
        lengths.iter().for_each(|length| counts[length / step] += 1);
        counts
    };
    let (references, outputs) = (count(&evaluation.reference_lengths), count(&system.lengths));
    let most = references.iter().chain(&outputs).copied().max().unwrap_or(1);
    let mut svg = Svg::new(WIDTH, HEIGHT);
    let end = (bins * step) as f64;
    let axes = Axes::new(&mut svg, (end, "words of the impression"), (most as f64, "reports"));
    for (at, (reference, output)) in references.iter().zip(&outputs).enumerate() {
        let (from, to) = (at * step, (at + 1) * step);
        let words =
            if step == 1 { format!("{from} words") } else { format!("{from}–{} words", to - 1) };
        let (x0, bottom) = axes.at(from as f64, 0.0);
        let (x1, _) = axes.at(to as f64, 0.0);
        let half = (x1 - x0 - 2.0) / 2.0;
        for (side, class, name, count) in [
            (0.0, "bar reference", "references", reference),
            (1.0, "bar s0", system.name.as_str(), output),
        ] {
            let (_, top) = axes.at(0.0, *count as f64);
            let title = format!("{name}: {count} of {words}");
            svg.rect(class, (x0 + 1.0 + side * half, top), (half, bottom - top), &title);
        }
    }
    svg.finish(
        "Histogram of the lengths of impressions",
        &format!("References beside {}", system.name),
    )
}

/// ROUGE-L of every output of the first system against the length of the findings, and for every system
/// the means of eight equally full groups.
pub(super) fn by_length(evaluation: &Evaluation) -> String {
    const GROUPS: usize = 8;
    let lengths = &evaluation.findings_lengths;
    let mut svg = Svg::new(WIDTH, HEIGHT);
    let longest = lengths.iter().copied().max().unwrap_or(1);
    let axes = Axes::new(&mut svg, (longest as f64, "words of the findings"), (1.0, "ROUGE-L F1"));
    if let Some(first) = evaluation.systems.first() {
        for (length, scores) in lengths.iter().zip(&first.scores) {
            svg.dot(0, axes.at(*length as f64, scores.f1()[ROUGE_L]));
        }
    }
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|row| lengths[*row]);
    let size = order.len().div_ceil(GROUPS).max(1);
    for (index, system) in evaluation.systems.iter().enumerate().rev() {
        let means: Vec<(f64, f64)> = order
            .chunks(size)
            .map(|rows| {
                let mean = |of: &dyn Fn(usize) -> f64| {
                    rows.iter().map(|r| of(*r)).sum::<f64>() / rows.len() as f64
                };
                let length = mean(&|row| lengths[row] as f64);
                axes.at(length, mean(&|row| system.scores[row].f1()[ROUGE_L]))
            })
            .collect();
        svg.polyline(&format!("curve s{}", index % SYSTEMS), &means);
        for point in &means {
            svg.mark(index, *point, 4.0, &system.name);
        }
    }
    svg.finish(
        "ROUGE-L by length of the findings",
        "Dots are reports of the first system; lines join the means of eight equally full groups",
    )
}
