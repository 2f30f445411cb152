//! A line chart as SVG: axes with round numbers, a legend with the last values, one path a line.

use super::{Curve, Series, escape, put};

/// Size of the drawing, in its own units; the page scales it.
const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 270.0;
/// The plot inside it.
const LEFT: f64 = 50.0;
const RIGHT: f64 = WIDTH - 10.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = HEIGHT - 38.0;
/// A line of more points is drawn faintly, with its means on top.
const NOISY: usize = 600;
/// Points of such a line of means.
const MEANS: usize = 100;
/// Colours of the style sheet; further lines repeat them dashed.
const COLORS: usize = 6;

/// Appends the chart of `curve`, with heading, legend and note.
pub fn draw(out: &mut String, curve: &Curve) {
    let unit = if curve.unit.is_empty() { String::new() } else { format!(" ({})", escape(&curve.unit)) };
    let name = escape(&curve.name);
    put(out, format_args!("<div class=\"chart\">\n<h3>{name}{unit}</h3>\n"));
    legend(out, &curve.series);

    let usable = |point: &&(f64, f64)| drawable(point, curve.log);
    let points = || curve.series.iter().flat_map(|series| &series.points);
    let smoothed = curve.series.iter().any(|series| series.points.len() > NOISY);
    let (xs, ys) = (points().filter(usable).map(|point| point.0), points().filter(usable).map(|point| point.1));
    match (Scale::exact(xs), Scale::of(ys, curve.log)) {
        (Some(x), Some(y)) => {
            put(out, format_args!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{name}\">\n"));
            axes(out, &x, &y, &escape(&curve.x));
            for (i, series) in curve.series.iter().enumerate() {
                let style = style(i);
                if series.points.len() > NOISY {
                    line(out, &series.points, &x, &y, &format!("{style} faint"));
                    line(out, &means(&series.points, curve.log), &x, &y, &style);
                } else {
                    line(out, &series.points, &x, &y, &style);
                }
            }
            out.push_str("</svg>\n");
        }
        _ => out.push_str("<p>No measurement yet.</p>\n"),
    }

    let left_out = points().count() - points().filter(usable).count();
    let mut note = escape(&curve.note);
    if smoothed {
        note += " Strong lines are means of neighbouring values.";
    }
    if left_out > 0 {
        let why = if curve.log { "not positive and finite" } else { "not finite" };
        note += &format!(" Not shown because {why}: {left_out}.");
    }
    if !note.trim().is_empty() {
        put(out, format_args!("<p>{}</p>\n", note.trim()));
    }
    out.push_str("</div>\n");
}

/// Whether a point can be shown. Beyond 1e±100 the arithmetic of the axes would overflow.
fn drawable(&(x, y): &(f64, f64), log: bool) -> bool {
    x.abs() < 1e100 && y.abs() < 1e100 && (!log || y > 1e-100)
}

/// The classes of line `i`.
fn style(i: usize) -> String {
    let dashed = if i / COLORS % 2 == 1 { " dashed" } else { "" };
    format!("line s{}{dashed}", i % COLORS)
}

fn legend(out: &mut String, series: &[Series]) {
    out.push_str("<ul class=\"legend\">\n");
    for (i, series) in series.iter().enumerate() {
        let last = series.points.iter().rev().find(|point| point.1.is_finite()).map(|point| number(point.1));
        let (name, last, style) = (escape(&series.name), last.unwrap_or_default(), style(i));
        let swatch = format!(
            "<svg viewBox=\"0 0 28 12\"><path class=\"{style}\" style=\"stroke-width:3\" d=\"M2 6H26\"/></svg>"
        );
        put(out, format_args!("<li>{swatch}{name} <b>{last}</b></li>\n"));
    }
    out.push_str("</ul>\n");
}

fn axes(out: &mut String, x: &Scale, y: &Scale, x_name: &str) {
    out.push_str("<g class=\"axis\">\n");
    for (value, text) in y.ticks() {
        let (at, baseline) = (y.at(value, BOTTOM, TOP), y.at(value, BOTTOM, TOP) + 4.0);
        put(out, format_args!("<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"));
        put(out, format_args!("<text x=\"{}\" y=\"{baseline:.1}\" text-anchor=\"end\">{text}</text>\n", LEFT - 6.0));
    }
    for (value, text) in x.ticks() {
        let (at, below) = (x.at(value, LEFT, RIGHT), BOTTOM + 5.0);
        let anchor = if at > RIGHT - 14.0 { "end" } else { "middle" };
        put(out, format_args!("<line class=\"base\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{BOTTOM}\" y2=\"{below}\"/>"));
        put(out, format_args!("<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{text}</text>\n", BOTTOM + 18.0));
    }
    put(out, format_args!("<line class=\"base\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/>"));
    let middle = (LEFT + RIGHT) / 2.0;
    put(
        out,
        format_args!("<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{x_name}</text>\n</g>\n", BOTTOM + 34.0),
    );
}

/// One line, interrupted where a value cannot be shown. A point alone is drawn as a dot by its round caps.
fn line(out: &mut String, points: &[(f64, f64)], x: &Scale, y: &Scale, style: &str) {
    let place = |&(px, py): &(f64, f64)| (x.at(px, LEFT, RIGHT), y.at(py, BOTTOM, TOP));
    let placed = points.iter().map(|point| drawable(point, y.log).then(|| place(point)));
    let mut path = String::new();
    let mut open = false;
    for point in thin(placed) {
        match point {
            None => open = false,
            Some((px, py)) if open => put(&mut path, format_args!("L{px:.1} {py:.1}")),
            Some((px, py)) => {
                put(&mut path, format_args!("M{px:.1} {py:.1}h0"));
                open = true;
            }
        }
    }
    put(out, format_args!("<path class=\"{style}\" d=\"{path}\"/>\n"));
}

/// Of the points that fall on one unit of the horizontal axis, the first, the lowest, the highest and the last: the
/// drawing looks the same, and its size is bounded.
fn thin(points: impl Iterator<Item = Option<(f64, f64)>>) -> Vec<Option<(f64, f64)>> {
    let points: Vec<Option<(f64, f64)>> = points.collect();
    let column = |point: &Option<(f64, f64)>| point.map(|(x, _)| x.floor());
    let mut kept = vec![];
    for bucket in points.chunk_by(|a, b| column(a) == column(b)) {
        let of = |i: usize| bucket[i].map_or(0.0, |point| point.1);
        let lowest = (0..bucket.len()).min_by(|&a, &b| of(a).total_cmp(&of(b))).unwrap_or(0);
        let highest = (0..bucket.len()).max_by(|&a, &b| of(a).total_cmp(&of(b))).unwrap_or(0);
        let mut chosen = [0, lowest, highest, bucket.len() - 1];
        chosen.sort_unstable();
        for (i, &index) in chosen.iter().enumerate() {
            if i == 0 || chosen[i - 1] != index {
                kept.push(bucket[index]);
            }
        }
    }
    kept
}

/// Means of neighbouring points, geometric ones where the axis is logarithmic. Nothing drawable among them: a gap.
fn means(points: &[(f64, f64)], log: bool) -> Vec<(f64, f64)> {
    let mean = |group: &[(f64, f64)]| {
        let usable = || group.iter().filter(|point| drawable(point, log));
        let count = usable().count() as f64;
        let x = usable().map(|point| point.0).sum::<f64>() / count;
        match log {
            true => (x, (usable().map(|point| point.1.ln()).sum::<f64>() / count).exp()),
            false => (x, usable().map(|point| point.1).sum::<f64>() / count),
        }
    };
    points.chunks(points.len().div_ceil(MEANS).max(1)).map(mean).collect()
}

/// An axis. The vertical one goes from round number to round number, the horizontal one exactly as far as the values.
struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

/// Steps of a logarithmic axis within a decade.
const WITHIN: [f64; 3] = [1.0, 2.0, 5.0];

impl Scale {
    /// The axis from the least to the greatest of `values`, or `None` without any.
    fn exact(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        let largest = low.abs().max(high.abs()).max(1e-100);
        let margin = if high - low > 1e-9 * largest { 0.0 } else { f64::max(largest * 0.1, 1e-6) };
        (low <= high).then_some(Self { low: low - margin, high: high + margin, log: false })
    }

    /// The axis from a round number below `values` to one above them, or `None` without any.
    fn of(values: impl Iterator<Item = f64>, log: bool) -> Option<Self> {
        let Self { low, high, .. } = Self::exact(values.map(|value| if log { value.log10() } else { value }))?;
        if !log {
            let step = round_step((high - low) / 5.0);
            return Some(Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, log });
        }
        let steps = |value: f64| WITHIN.iter().chain(&[10.0]).map(move |step| step * 10_f64.powf(value.floor()));
        let below = steps(low).filter(|step| step.log10() <= low + 1e-9).fold(0.0, f64::max);
        let above = steps(high).find(|step| step.log10() >= high - 1e-9)?;
        Some(Self { low: below, high: above, log })
    }

    /// Where `value` lies between `from` and `to`.
    fn at(&self, value: f64, from: f64, to: f64) -> f64 {
        let part = match self.log {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        from + part * (to - from)
    }

    /// Round values with their texts.
    fn ticks(&self) -> Vec<(f64, String)> {
        if self.log {
            let decades = (self.high / self.low).log10();
            let every = (decades / 6.0).ceil().max(1.0) as usize;
            let within = if decades > 2.5 { &WITHIN[..1] } else { &WITHIN[..] };
            let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
            let decades = (first..=last).step_by(every).map(|exponent| 10_f64.powi(exponent));
            let values = decades.flat_map(|decade| within.iter().map(move |step| step * decade));
            let inside = values.filter(|&value| value >= self.low * 0.999 && value <= self.high * 1.001);
            return inside.map(|value| (value, number(value))).collect();
        }
        let step = round_step((self.high - self.low) / 5.0);
        let first = (self.low / step - 1e-9).ceil();
        let count = (self.high / step + 1e-9).floor() - first;
        let largest = self.low.abs().max(self.high.abs());
        let (unit, suffix) = match largest {
            1e9.. => (1e9, "G"),
            1e6.. => (1e6, "M"),
            1e4.. => (1e3, "k"),
            _ => (1.0, ""),
        };
        let decimals = (-(step / unit).log10().floor()).clamp(0.0, 12.0) as usize;
        let text = |value: f64| match () {
            () if value.abs() < step / 2.0 => "0".to_owned(),
            () if decimals > 4 => format!("{value:.1e}"),
            () => format!("{:.decimals$}{suffix}", value / unit).replace('-', "−"),
        };
        (0..=count as i32).map(|i| (first + f64::from(i)) * step).map(|value| (value, text(value))).collect()
    }
}

/// The next of 1, 2, 5, 10 … times a power of ten.
fn round_step(step: f64) -> f64 {
    let decade = 10_f64.powf(step.log10().floor());
    let within = WITHIN.into_iter().find(|within| within * decade >= step * 0.999_999).unwrap_or(10.0);
    within * decade
}

/// `value` with at most four significant digits.
fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e6).contains(&size) {
        let text = format!("{value:.2e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
        return format!("{mantissa}e{exponent}").replace('-', "−");
    }
    let decimals = (3 - size.max(1e-4).log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(log: bool, points: Vec<(f64, f64)>) -> String {
        let mut out = String::new();
        let series = vec![Series { name: "a".into(), points }];
        draw(&mut out, &Curve { name: "n".into(), log, series, ..Default::default() });
        out
    }

    #[test]
    fn ticks_are_round() {
        let texts = |values: &[f64], log| -> Vec<String> {
            Scale::of(values.iter().copied(), log).unwrap().ticks().into_iter().map(|tick| tick.1).collect()
        };
        assert_eq!(texts(&[0.0, 1.0], false), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(&[-0.3, 0.9], false), ["−0.5", "0", "0.5", "1.0"]);
        assert_eq!(texts(&[0.0, 20_000.0], false), ["0", "5k", "10k", "15k", "20k"]);
        assert_eq!(texts(&[0.003, 40.0], true), ["0.01", "0.1", "1", "10"]);
        assert_eq!(texts(&[0.3, 4.0], true), ["0.2", "0.5", "1", "2", "5"]);
        assert_eq!(texts(&[5.0], true), ["2", "5", "10"]);
    }

    #[test]
    fn numbers_are_short() {
        let pairs = [
            (0.0, "0"),
            (1.0, "1"),
            (0.012345, "0.01235"),
            (123.456, "123.5"),
            (-2.5, "−2.5"),
            (1.5e-7, "1.5e−7"),
            (100.0, "100"),
        ];
        for (value, text) in pairs {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn long_series_stay_small_and_keep_their_extremes() {
        let mut points: Vec<(f64, f64)> = (0..200_000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        points[123_456].1 = 1000.0;
        let chart = svg(false, points);
        assert!(chart.len() < 40_000, "{}", chart.len());
        assert!(chart.contains(&format!(" {TOP:.1}L")), "the one peak reaches the top");
    }

    #[test]
    fn strange_values_are_drawn_or_counted() {
        for log in [false, true] {
            assert!(svg(log, vec![]).contains("No measurement yet"));
            assert!(svg(log, vec![(0.0, f64::NAN)]).contains("No measurement yet"));
            let extremes = [0.0, -1.0, 1e-300, 1e300, f64::MIN, f64::MAX, f64::INFINITY, 5e-324];
            for a in extremes {
                for b in extremes {
                    let chart = svg(log, vec![(0.0, a), (1.0, f64::NAN), (2.0, b), (a, 1.0)]);
                    assert!(!chart.contains("NaN") && !chart.contains("inf"), "{a} {b} {log}: {chart}");
                }
            }
            assert!(svg(log, vec![(0.0, 1.0)]).contains("<path"));
        }
        let chart = svg(true, vec![(0.0, 1.0), (1.0, 0.0), (2.0, 3.0)]);
        assert!(
            chart.contains("Not shown because not positive and finite: 1.") && chart.matches("h0").count() == 2,
            "{chart}"
        );
    }
}
