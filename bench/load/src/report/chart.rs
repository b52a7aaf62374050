//! Bars and curves as SVG. (pure)
//!
//! The rule: a chart carries its own labels and needs nothing from outside the page.

use std::fmt::Write as _;

use super::table::time;

/// Horizontal bars, one for each name, the longest filling the width.
pub(crate) fn bars(title: &str, bars: &[(String, f64)], show: impl Fn(f64) -> String) -> String {
    let most = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let mut drawn = String::new();
    let mut top = TITLE_HEIGHT;
    for (place, (name, value)) in bars.iter().enumerate() {
        let width = if most > 0.0 {
            (value / most).max(0.0) * BAR_WIDTH
        } else {
            0.0
        };
        let (name, color) = (escaped(name), color(place));
        let (text_at, end) = (top + 14.0, NAME_WIDTH + width + 6.0);
        let shown = show(*value);
        put(
            &mut drawn,
            format_args!(
                "<text x='{x}' y='{text_at}' text-anchor='end'>{name}</text>\
                 <rect x='{NAME_WIDTH}' y='{top}' width='{width:.1}' height='18' fill='{color}'/>\
                 <text x='{end:.1}' y='{text_at}'>{shown}</text>",
                x = NAME_WIDTH - 8.0
            ),
        );
        top += 26.0;
    }
    framed(title, top + 4.0, &drawn)
}

/// Delay over quantiles: each nine of the quantile has the same width, each tenfold of the delay the same height.
pub(crate) fn curves(title: &str, curves: &[(String, Vec<(f64, f64)>)]) -> String {
    let points = || curves.iter().flat_map(|(_, points)| points);
    let delays = || points().map(|(_, delay)| delay.max(1.0).log10());
    let low = delays().fold(f64::INFINITY, f64::min).floor();
    let high = delays().fold(0.0, f64::max).ceil();
    if !low.is_finite() {
        return String::new();
    }
    let high = high.max(low + 1.0);
    let x = |quantile: f64| {
        let nines = -(1.0 - quantile).max(1e-5).log10();
        PLOT_LEFT + nines.min(NINES) / NINES * PLOT_WIDTH
    };
    let y = |log: f64| TITLE_HEIGHT + (high - log) / (high - low) * PLOT_HEIGHT;
    let bottom = TITLE_HEIGHT + PLOT_HEIGHT;
    let mut drawn = String::new();
    let mut log = low;
    while log <= high {
        let (at, shown) = (y(log), time(10f64.powf(log)));
        put(
            &mut drawn,
            format_args!(
                "<path class='grid' d='M{PLOT_LEFT} {at:.1}h{PLOT_WIDTH}'/>\
                 <text x='{left}' y='{text:.1}' text-anchor='end'>{shown}</text>",
                left = PLOT_LEFT - 6.0,
                text = at + 4.0
            ),
        );
        log += 1.0;
    }
    for (quantile, name) in TICKS {
        let at = x(*quantile);
        put(
            &mut drawn,
            format_args!(
                "<path class='grid' d='M{at:.1} {TITLE_HEIGHT}v{PLOT_HEIGHT}'/>\
                 <text x='{at:.1}' y='{under}' text-anchor='middle'>{name}</text>",
                under = bottom + 16.0
            ),
        );
    }
    for (place, (name, points)) in curves.iter().enumerate() {
        let (color, name) = (color(place), escaped(name));
        let at = points.iter().map(|(quantile, delay)| {
            format!("{:.1},{:.1}", x(*quantile), y(delay.max(1.0).log10()))
        });
        let at = at.collect::<Vec<_>>().join(" ");
        let (legend, index) = (bottom + 38.0, f64::from(u32::try_from(place).unwrap_or(0)));
        let left = PLOT_LEFT + index * LEGEND_WIDTH;
        put(
            &mut drawn,
            format_args!(
                "<polyline points='{at}' fill='none' stroke='{color}' stroke-width='2'/>\
                 <rect x='{left}' y='{square}' width='12' height='12' fill='{color}'/>\
                 <text x='{beside}' y='{legend}'>{name}</text>",
                square = legend - 11.0,
                beside = left + 18.0
            ),
        );
    }
    framed(title, bottom + 48.0, &drawn)
}

/// Text that means nothing to HTML.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

fn framed(title: &str, height: f64, drawn: &str) -> String {
    let title = escaped(title);
    format!(
        "<svg viewBox='0 0 {WIDTH} {height}' role='img' aria-label='{title}'>\
         <text class='title' x='0' y='16'>{title}</text>{drawn}</svg>\n"
    )
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    text.write_fmt(what).unwrap_or_default();
}

/// Colours that colour-blind readers tell apart.
fn color(place: usize) -> &'static str {
    const COLORS: [&str; 7] = [
        "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#999999",
    ];
    COLORS
        .get(place % COLORS.len())
        .copied()
        .unwrap_or("#999999")
}

const WIDTH: f64 = 760.0;
const TITLE_HEIGHT: f64 = 28.0;
const NAME_WIDTH: f64 = 150.0;
const BAR_WIDTH: f64 = 480.0;
const PLOT_LEFT: f64 = 80.0;
const PLOT_WIDTH: f64 = 660.0;
const PLOT_HEIGHT: f64 = 240.0;
const LEGEND_WIDTH: f64 = 110.0;
/// The curve ends at 99.999 %.
const NINES: f64 = 5.0;
const TICKS: &[(f64, &str)] = &[
    (0.0, "0"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (1.0, "all"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_bar_fills_the_width_and_others_are_in_proportion() {
        let given = [("a".to_owned(), 0.5), ("b".to_owned(), 1.0)];
        let drawn = bars("t", &given, |value| format!("{value:.2}"));
        assert!(drawn.contains("width='480.0'") && drawn.contains("width='240.0'"));
        assert!(drawn.contains(">0.50<") && drawn.contains(">1.00<"));
    }

    #[test]
    fn nothing_measured_draws_no_bar_and_no_curve() {
        let drawn = bars("t", &[("a".to_owned(), 0.0)], |_| String::new());
        assert!(drawn.contains("width='0.0'"));
        assert_eq!(curves("t", &[]), "");
        assert_eq!(curves("t", &[("a".to_owned(), Vec::new())]), "");
    }

    #[test]
    fn each_nine_has_the_same_width() {
        let points = vec![(0.0, 10.0), (0.9, 10.0), (0.99, 100.0)];
        let drawn = curves("t", &[("a".to_owned(), points)]);
        assert!(
            drawn.contains("points='80.0,268.0 212.0,268.0 344.0,28.0'"),
            "{drawn}"
        );
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let drawn = bars("<t>", &[("<script>'\"&".to_owned(), 1.0)], |_| {
            String::new()
        });
        assert!(!drawn.contains("<script>") && !drawn.contains("<t>"));
        assert!(drawn.contains("&lt;script&gt;&#39;&quot;&amp;"));
    }
}
